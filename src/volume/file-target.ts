/** Writing to an image file: a new sparse one, or one that exists and is written in place. */
import { constants } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DirectFile } from '../kernel/direct-file.ts';
import { usesOf } from '../kernel/mounts.ts';
import { fallocate, tryLock } from '../kernel/sys.ts';
import { syncDirectory } from '../std/atomic-write.ts';
import { VolumeError } from './block-source.ts';
import type { BlockTarget, TargetLocation } from './block-target.ts';
import { openDevice } from './device-target.ts';
import { kindOf } from './file-source.ts';
import { OpenTarget, type Zeroer } from './open-target.ts';
import { withVolumeErrors } from './volume-errors.ts';

const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;

export interface OpenFileOptions {
  /** The size of the image; the file is made exactly so long. */
  readonly sizeBytes: number;
  /** `create`: must not exist. `truncate`: made anew or emptied. `in-place`: must exist and keeps its bytes. */
  readonly mode: 'create' | 'truncate' | 'in-place';
  /**
   * For `in-place` only: the caller knows that what it has not written reads as zeros (an interrupted restore to a
   * file that began sparse). New files always are.
   */
  readonly zeroed?: boolean | undefined;
  /** Runs when the file is claimed and not yet emptied: what speaks of its bytes must go first. */
  readonly beforeTruncate?: (() => Promise<void>) | undefined;
  readonly signal: AbortSignal;
}

/**
 * The name of a new file is durable when this resolves; its bytes are after `flush`.
 * @throws {VolumeError} `volume-exists`, `volume-not-found`, `volume-kind`, `volume-denied`, `volume-busy`, `volume-no-space`,
 * `volume-read-only`, `volume-io`
 */
export async function openFileTarget(
  path: string,
  { sizeBytes, mode, zeroed = false, beforeTruncate, signal }: OpenFileOptions,
): Promise<BlockTarget> {
  signal.throwIfAborted();
  return await withVolumeErrors(
    () => `open ${path} for writing`,
    async () => {
      const existing = await kindOf(path).catch(() => undefined);
      // A device opened by these flags would be written at once, a pipe would block.
      if (existing === 'device' || (mode === 'in-place' && (await kindOf(path)) !== 'file')) {
        throw new VolumeError('volume-kind', `${path} is not a regular file`);
      }
      await using opening = new AsyncDisposableStack();
      const flags = constants.O_RDWR | modeFlags[mode];
      const file = opening.use(await DirectFile.open(path, { flags, mode: 0o600, direct: true }));
      if (!(await file.stat()).isFile()) throw new VolumeError('volume-kind', `${path} is not a regular file`);
      // Before anything is cut off: another restore may be writing to it.
      if (!tryLock(file.fd)) throw new VolumeError('volume-busy', `${path} is being written by another process`);
      try {
        await beforeTruncate?.();
        if (mode === 'truncate') await file.truncate(0);
        if (Number((await file.stat()).size) !== sizeBytes) await file.truncate(sizeBytes);
      } catch (error) {
        if (mode === 'create') await unlink(path).catch(() => undefined);
        throw error;
      }
      if (mode !== 'in-place') await syncDirectory(dirname(path));
      opening.move();
      const location = { path, kind: 'file', sizeBytes, zeroed: mode !== 'in-place' || zeroed } as const;
      return new OpenTarget(file, location, holePuncher);
    },
  );
}

const modeFlags = {
  create: constants.O_CREAT | constants.O_EXCL,
  truncate: constants.O_CREAT,
  'in-place': 0,
} as const;

/** Any range: the file system itself zeroes what is not a whole block. */
const holePuncher: Zeroer = {
  alignmentBytes: 1,
  zero: (fd, range) => fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, range),
};

/**
 * Opens the same target again, in this or another thread.
 * @throws {VolumeError} as the first opening; `volume-changed` when the file is no longer as long
 */
export async function reopenTarget(
  location: TargetLocation,
  { signal }: { readonly signal: AbortSignal },
): Promise<BlockTarget> {
  signal.throwIfAborted();
  if (location.kind === 'device') return await openDevice(location, { exclusive: false });
  const { path, sizeBytes } = location;
  return await withVolumeErrors(
    () => `open ${path} for writing`,
    async () => {
      if ((await kindOf(path)) !== 'file') throw new VolumeError('volume-changed', `${path} was replaced`);
      await using opening = new AsyncDisposableStack();
      const file = opening.use(await DirectFile.open(path, { flags: constants.O_RDWR, direct: true }));
      const now = Number((await file.stat()).size);
      if (now !== sizeBytes) throw new VolumeError('volume-changed', `${path} has ${now} bytes, not ${sizeBytes}`);
      opening.move();
      return new OpenTarget(file, location, holePuncher);
    },
  );
}

/** Why it must not be written to: mounted at all, swap, part of or under another device, or claimed by somebody. */
export async function targetInUse(
  path: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<{ readonly reason: string } | undefined> {
  const uses = await usesOf(path, { signal });
  return uses[0];
}
