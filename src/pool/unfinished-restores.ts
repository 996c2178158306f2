/**
 * Restores into the pool that have not ended. Each is a folder of `staging`, from which the same command goes on; its maker
 * has it locked while he lives. One that nobody wants any more takes room until it is removed.
 */
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { FileLock } from '../kernel/lock-file.ts';
import { isErrno } from '../std/atomic-write.ts';
import { hasCode } from '../std/dray-error.ts';
import { isFolderHeld } from './held-folder.ts';
import { imageFigures } from './inspect-pool.ts';
import { poolError } from './pool-error.ts';
import type { Pool } from './pool.ts';
import { parseRestoreName } from './restore-name.ts';
import { takeOut } from './staging.ts';

interface SignalOption {
  readonly signal: AbortSignal;
}

export interface UnfinishedRestore {
  /** Of its folder in `staging`. */
  readonly folder: string;
  /** That it will make, or whose content it will replace. */
  readonly volume: string;
  /** Beginning of the id of the repository's snapshot. */
  readonly snapshot: string;
  /** Bytes of blocks that nothing else has. */
  readonly uniqueBytes: number;
  /** When something was last written to it, ISO 8601 in UTC. */
  readonly written: string;
  /** Its process lives. */
  readonly running: boolean;
}

/** Only maps are read, no data. @throws {PoolError} `pool-io` */
export async function unfinishedRestores(pool: Pool, { signal }: SignalOption): Promise<UnfinishedRestore[]> {
  const found: UnfinishedRestore[] = [];
  for (const folder of (await namesOf(pool.layout.staging)).sort()) {
    const parsed = parseRestoreName(folder);
    if (parsed === undefined) continue;
    const path = join(pool.layout.staging, folder);
    // One that ends while it is looked at has become a volume.
    const figures = await unlessGone(async () => await figuresOf(path, { signal }));
    if (figures === undefined) continue;
    const running = await isFolderHeld(path, { by: 'exclusive', clock: pool.clock, signal });
    found.push({ folder, ...parsed, ...figures, running });
  }
  return found;
}

async function figuresOf(
  path: string,
  { signal }: SignalOption,
): Promise<Pick<UnfinishedRestore, 'uniqueBytes' | 'written'>> {
  const live = join(path, 'live');
  let uniqueBytes = 0;
  let writtenMs = (await lstat(path)).mtimeMs;
  for (const name of await namesOf(live)) {
    const file = join(live, name);
    const found = await lstat(file);
    writtenMs = Math.max(writtenMs, found.mtimeMs);
    if (found.isFile()) uniqueBytes += (await imageFigures(file, { signal })).uniqueBytes;
  }
  return { uniqueBytes, written: new Date(writtenMs).toISOString() };
}

/**
 * Under the pool's lock. @returns the folder in `staging` that is left to be removed; undefined when its process lives
 */
export async function takeOutUnfinished(
  pool: Pool,
  folder: string,
  { signal }: SignalOption,
): Promise<string | undefined> {
  const path = join(pool.layout.staging, folder);
  try {
    using _lock = await FileLock.take(path, { mode: 'exclusive', waitMs: 0, clock: pool.clock, signal });
    return await takeOut(pool, path);
  } catch (error) {
    if (hasCode(error, 'kernel-busy')) return undefined;
    throw poolError(error, `remove ${folder}`);
  }
}

async function namesOf(folder: string): Promise<string[]> {
  return (await unlessGone(async () => await readdir(folder))) ?? [];
}

async function unlessGone<T>(look: () => Promise<T>): Promise<T | undefined> {
  try {
    return await look();
  } catch (error) {
    if (isErrno(error, 'ENOENT') || (error instanceof Error && isErrno(error.cause, 'ENOENT'))) return undefined;
    throw poolError(error, 'look at unfinished restores');
  }
}
