/** Writing to an image file: a new sparse one, or one that exists and is written in place. */
import { constants } from 'node:fs';
import { link, lstat, open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DirectFile } from '../kernel/direct-file.ts';
import { usesOf } from '../kernel/device-uses.ts';
import { fallocate, renameNew, tryLock } from '../kernel/sys.ts';
import { isErrno, syncDirectory } from '../std/atomic-write.ts';
import { hasCode } from '../std/dray-error.ts';
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
 * The name of a new file is durable when this resolves; its bytes are after `flush`. A symbolic link in the place of the
 * file is refused: what it leads to is nobody's to overwrite by accident. Who means that passes the path behind it.
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
      const file = opening.use(await openNoLink(path, flags));
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

/** The first descriptor only finds the file: those that are kept are opened from it, and so are of the same file. */
async function openNoLink(path: string, flags: number): Promise<DirectFile> {
  try {
    await using found = await open(path, flags | constants.O_NOFOLLOW, 0o600);
    return await DirectFile.open(`/proc/self/fd/${found.fd}`, { flags: constants.O_RDWR, direct: true });
  } catch (error) {
    if (!isErrno(error, 'ELOOP')) throw error;
    throw new VolumeError('volume-kind', `${path} is a symbolic link, which is not followed: remove or move it`);
  }
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
      const file = opening.use(await openNoLink(path, constants.O_RDWR));
      const now = Number((await file.stat()).size);
      if (now !== sizeBytes) throw new VolumeError('volume-changed', `${path} has ${now} bytes, not ${sizeBytes}`);
      opening.move();
      return new OpenTarget(file, location, holePuncher);
    },
  );
}

/** The system's ways to give a file a name, so that tests can be a file system that has not all of them. */
export interface NamingCalls {
  renameNew(from: string, to: string): Promise<void>;
  link(from: string, to: string): Promise<void>;
}

/**
 * Renames `from` to `to` unless that name is taken. Where the file system knows neither a rename that replaces nothing
 * (some of NFS and FUSE) nor a second name for a file (FAT), there is only looking first: what is made in the moment
 * between is replaced.
 * @throws {VolumeError} `volume-exists`; system errors pass
 */
export async function giveNewName(from: string, to: string, calls: NamingCalls = { renameNew, link }): Promise<void> {
  try {
    await calls.renameNew(from, to);
    return;
  } catch (error) {
    if (!hasCode(error, 'kernel-unsupported')) throw error;
  }
  try {
    await calls.link(from, to);
  } catch (error) {
    if (!withoutLinks.some((name) => isErrno(error, name))) throw error;
    const taken = await lstat(to).catch((missing: unknown) => {
      if (!isErrno(missing, 'ENOENT')) throw missing;
    });
    if (taken !== undefined) throw new VolumeError('volume-exists', `${to} exists`);
    await rename(from, to);
    return;
  }
  await unlink(from);
}

/** How a file system says that it has no hard links. */
const withoutLinks = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'];

/** Why it must not be written to: mounted at all, swap, part of or under another device, or claimed by somebody. */
export async function targetInUse(
  path: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<{ readonly reason: string } | undefined> {
  const uses = await usesOf(path, { signal });
  return uses[0];
}
