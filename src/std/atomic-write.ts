/**
 * Files that appear whole or not at all and stay after a power cut: written under another name, fsynced, renamed, and
 * the directory fsynced (a rename is durable only then).
 */
import { mkdir, open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { randomHex, type Rng } from './rng.ts';

export interface AtomicWriteOptions {
  readonly rng: Rng;
  readonly signal: AbortSignal;
  /** Permission bits of the new file; 0600 unless told. */
  readonly mode?: number | undefined;
}

/**
 * Creates or replaces `path` with exactly `bytes`, durable when resolved. `bytes` belongs to the call until then.
 * A failure or an abort leaves what was there before. Throws the system's error.
 */
export async function atomicWrite(
  path: string,
  bytes: Uint8Array,
  { rng, signal, mode = 0o600 }: AtomicWriteOptions,
): Promise<void> {
  signal.throwIfAborted();
  const temporary = temporaryName(path, rng);
  const file = await open(temporary, 'wx', mode);
  try {
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    signal.throwIfAborted();
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** Kopia's name for a file that is not complete: `<path>.tmp.<16 hexadecimal digits>`. */
export function temporaryName(path: string, rng: Rng): string {
  return `${path}.tmp.${randomHex(rng, 8)}`;
}

/** Whether a name is `temporaryName` of `completed`. */
export function isTemporaryOf(name: string, completed: string): boolean {
  return name.startsWith(`${completed}.tmp.`);
}

/** Makes the names in a directory durable. File systems that cannot sync a directory (EINVAL) need no sync or offer none. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } catch (error) {
    if (!isErrno(error, 'EINVAL') && !isErrno(error, 'ENOTSUP')) throw error;
  } finally {
    await directory.close();
  }
}

/**
 * `mkdir -p` whose new directories are durable when resolved: the parent of each is synced. Each is tried once more when
 * its parent is there, never again: where nothing can be made (`/proc`) the system says ENOENT for ever, and Node's own
 * recursive `mkdir` does not come back from that, and takes a used up quota for a folder that is missing. Throws the system's error.
 */
export async function makeDirectories(path: string, { mode }: { readonly mode: number }): Promise<void> {
  if (await makeDirectory(path, { mode, parentIsThere: false })) return;
  await makeDirectories(dirname(path), { mode });
  await makeDirectory(path, { mode, parentIsThere: true });
}

/** @returns false when its parent is missing, which with `parentIsThere` is an error */
async function makeDirectory(
  path: string,
  { mode, parentIsThere }: { readonly mode: number; readonly parentIsThere: boolean },
): Promise<boolean> {
  try {
    await mkdir(path, { mode });
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return true;
    if (parentIsThere || !isErrno(error, 'ENOENT') || dirname(path) === path) throw error;
    return false;
  }
  await syncDirectory(dirname(path));
  return true;
}

/** True for a system error of this name, such as `ENOENT`. */
export function isErrno(error: unknown, name: string): boolean {
  return error instanceof Error && 'code' in error && error.code === name;
}
