/** Maintenance on a filesystem that has no room left at all. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { systemClock } from '../../src/std/clock.ts';
import { drayJson, runDray } from '../support/run-dray.ts';
import { memoryFolder } from '../support/temporary.ts';
import { agedWorld, password, writeFolder } from './aged-world.ts';

const skip = process.getuid?.() === 0 ? false : 'mounting a filesystem needs root';
const full = ['repository', 'maintain', '--full', '--identity', 'keeper@here'];

test('a full filesystem is maintained: what is no longer needed goes, and nothing else', { skip }, async () => {
  await using folder = await memoryFolder('maintenance-full');
  const mount = join(folder.path, 'mount');
  await mkdir(mount);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', mount]);
  try {
    const place = { repository: join(mount, 'repository'), cache: join(folder.path, 'cache'), password };
    await using world = await agedWorld('remove', { seed: 61, endMs: systemClock.nowMs() - 60_000 });
    await writeFolder(world, place.repository);
    await fill(join(mount, 'ballast'));
    const refused = await runDray(place, ['repository', 'maintain', '--owner', 'other@there']);
    assert.equal(refused.exitCode, 1, 'there is no room for anything');

    const { exitCode, stderr } = await runDray(place, full);
    assert.match(stderr, /the store is full: removing first what may be removed/);
    assert.equal(exitCode, 0, stderr);
    const { bavail } = await statfs(mount);
    assert.ok(bavail > 0, 'room was made');
    const verified = await drayJson<{ whole: boolean; snapshots: number }>(place, [
      'repository',
      'verify',
      '--level',
      'data',
    ]);
    assert.ok(verified.whole && verified.snapshots >= 8);
  } finally {
    execFileSync('umount', ['--lazy', mount]);
  }
});

/** Takes all the room, down to the last block. */
async function fill(folder: string): Promise<void> {
  await mkdir(folder);
  for (const bytes of [1024 * 1024, 64 * 1024, 4096]) {
    for (let n = 0; ; n++) {
      try {
        await writeFile(join(folder, `${bytes}-${n}`), Buffer.alloc(bytes, 1));
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
        break;
      }
    }
  }
}
