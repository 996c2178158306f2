/** Takes the room of a small pool, and gives it back. */
import { existsSync, rmSync, statfsSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../kernel/loop-device.ts';
import type { SmallPool } from './small-pool.ts';

const mib = 1024 * 1024;

/** Takes room on the pool's file system until so much is left; 0 is all that can be had. */
export function fill({ path }: Pick<SmallPool, 'path'>, leaveBytes: number): void {
  const file = join(path, 'ballast');
  for (let pieceBytes = 64 * mib; pieceBytes >= 4096;) {
    const { bavail, bsize } = statfsSync(path);
    const wanted = Math.min(pieceBytes, bavail * bsize - leaveBytes);
    if (wanted < 4096) return;
    const from = existsSync(file) ? statSync(file).size : 0;
    try {
      run('fallocate', '-o', String(from), '-l', String(Math.floor(wanted)), file);
    } catch {
      pieceBytes /= 2;
    }
  }
}

/** Cut first: XFS gives back the blocks of a file that is only unlinked when it likes. */
export function empty({ path }: Pick<SmallPool, 'path'>): void {
  const file = join(path, 'ballast');
  if (!existsSync(file)) return;
  truncateSync(file, 0);
  rmSync(file);
}
