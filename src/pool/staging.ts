/**
 * Things on their way in and out of a pool. What is made is made in a folder of its own below `staging`, becomes
 * durable there, and gets its place by one rename. What is removed goes the other way: one rename takes it out of sight,
 * then its blocks are given back. A killed process leaves folders here and nothing half-made anywhere else;
 * `recover-staging.ts` removes them.
 */
import type { Dirent } from 'node:fs';
import { lstat, mkdir, open, readdir, rename, rm, truncate } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { lockNow, renameExchange, renameNew } from '../kernel/sys.ts';
import { atomicWrite, isErrno, syncDirectory } from '../std/atomic-write.ts';
import { randomHex } from '../std/rng.ts';
import { isRefused, PoolError, poolError, withPoolErrors } from './pool-error.ts';
import { imageName } from './pool-layout.ts';
import type { Pool } from './pool.ts';
import { encodeRecord, type SnapshotRecord, type VolumeRecord } from './pool-records.ts';
import { syncMoved } from './sync-moved.ts';

/** Begins the name of a folder that nothing needs any more. */
export const removedPrefix = 'removed-';
/** Begins the name of what is being made. */
export const newPrefix = 'new-';

/** A folder below `staging`, removed unless it was put in place. */
export class Staged implements AsyncDisposable {
  readonly path: string;
  #placed = false;

  private constructor(path: string) {
    this.path = path;
  }

  static async make(pool: Pool): Promise<Staged> {
    const path = join(pool.layout.staging, `${newPrefix}${randomHex(pool.rng, 8)}`);
    await mkdir(path, { mode: 0o700 });
    return new Staged(path);
  }

  /** A folder that is there, of an interrupted restore; who ends it well removes it or has placed it. */
  static at(path: string): Staged {
    return new Staged(path);
  }

  get image(): string {
    return join(this.path, imageName);
  }

  /** Durable when resolved, as far as this folder goes. */
  async writeRecord(
    pool: Pool,
    { name, record, signal }: { name: string; record: VolumeRecord | SnapshotRecord; signal: AbortSignal },
  ): Promise<void> {
    await atomicWrite(join(this.path, name), encodeRecord(record), { rng: pool.rng, signal });
  }

  /** Gives it a name that nothing has, durably. @returns false when the name is taken */
  async place(path: string): Promise<boolean> {
    await syncDirectory(this.path);
    try {
      await renameNew(this.path, path);
    } catch (error) {
      if (isErrnoOf(error, 'EEXIST') || isErrnoOf(error, 'ENOTEMPTY')) return false;
      throw poolError(error, `put ${basename(path)} in its place`);
    }
    this.#placed = true;
    await syncMoved(dirname(path));
    return true;
  }

  /**
   * A folder inside takes the place of the one at `path`, which comes here and is removed with this. One step, durable.
   * @param done what is told of it when only that is not durable: "volume data is reverted"
   * @throws {PoolError} `pool-io` when nothing has changed; `pool-not-durable` when they have changed places, and what is
   *   here now stays
   */
  async exchange({
    inside,
    path,
    done,
  }: {
    readonly inside: string;
    readonly path: string;
    readonly done: string;
  }): Promise<void> {
    await syncDirectory(join(this.path, inside));
    await withPoolErrors(
      `put ${basename(path)} in its place`,
      async () => await renameExchange(join(this.path, inside), path),
    );
    try {
      await syncDone(done, dirname(path), this.path);
    } catch (error) {
      this.#placed = true;
      throw error;
    }
  }

  /** Its place was given by others, or it is removed later. */
  leave(): void {
    this.#placed = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#placed) await removeTree(this.path);
  }
}

/**
 * Takes a folder out of sight, durably. Its blocks come back with `removeTree` on the path that is returned.
 * @throws {PoolError} `pool-io` when it is still there; `pool-not-durable` when it is not
 */
export async function takeOut(pool: Pool, path: string): Promise<string> {
  const gone = await setAside(pool, path);
  await syncDone(`${basename(path)} is removed`, dirname(path));
  return gone;
}

/** As `takeOut`, but for the flush. @throws {PoolError} `pool-io` when it is still there */
export async function setAside(pool: Pool, path: string): Promise<string> {
  const gone = join(pool.layout.staging, `${removedPrefix}${randomHex(pool.rng, 8)}`);
  try {
    await rename(path, gone);
  } catch (error) {
    throw new PoolError('pool-io', `remove ${basename(path)}`, { cause: error });
  }
  return gone;
}

/**
 * Removes a folder of staging; whoever finds it there meanwhile leaves it to us (`isHeld`). Images are cut to nothing first:
 * XFS gives the blocks of an unlinked file back later, those of a shorter one at once. One that has another name elsewhere,
 * or is a link, only loses this name: what it holds is not the pool's alone. Another process may be removing the same.
 */
export async function removeTree(path: string): Promise<void> {
  const folder = await open(path, 'r').catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  });
  try {
    // One that we have locked otherwise is left to us as well.
    if (folder !== undefined) lockNow(folder.fd, 'shared');
    await removeAll(path);
  } finally {
    await folder?.close();
  }
}

/**
 * After the pool's lock: removes what `takeOut` left of something that is gone for everybody, however this ends.
 * @param what it was, for a message
 * @throws {PoolError} `pool-leftover` when it cannot be removed; the next change of the pool tries again
 */
export async function giveBack(gone: string, what: string): Promise<void> {
  try {
    await removeTree(gone);
  } catch (cause) {
    throw refused('pool-leftover', `give back the blocks of ${what}, which is gone`, cause);
  }
}

/** `syncMoved`, after which something is `done` for good. @throws {PoolError} `pool-not-durable` */
async function syncDone(done: string, ...parents: Parameters<typeof syncMoved>): Promise<void> {
  try {
    await syncMoved(...parents);
  } catch (cause) {
    throw refused('pool-not-durable', `${done}, but a loss of power may still undo that`, cause);
  }
}

/** As `poolError`, of what is done but for its end. */
function refused(code: 'pool-leftover' | 'pool-not-durable', message: string, cause: unknown): unknown {
  return isRefused(cause) ? new PoolError(code, message, { cause }) : cause;
}

/** One that cannot be removed keeps none of the others. */
async function removeAll(path: string): Promise<void> {
  const failures: unknown[] = [];
  for (const entry of await entriesUnlessGone(path)) {
    const inside = join(path, entry.name);
    try {
      if (entry.isDirectory()) {
        await removeAll(inside);
        continue;
      }
      if (entry.name === imageName && (await isOnlyOurs(inside))) await truncate(inside, 0);
      await rm(inside, { force: true });
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
  await rm(path, { recursive: true, force: true });
}

async function entriesUnlessGone(path: string): Promise<Dirent[]> {
  try {
    return await readdir(path, { withFileTypes: true });
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

async function isOnlyOurs(path: string): Promise<boolean> {
  const found = await lstat(path);
  return found.isFile() && found.nlink === 1;
}

/** Makes a file's bytes and size durable. */
export async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

function isErrnoOf(error: unknown, name: string): boolean {
  return error instanceof Error && 'errno' in error && error.errno === name;
}
