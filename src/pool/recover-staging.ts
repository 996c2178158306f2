/**
 * What a killed process left in `staging`, dealt with by the next one that changes the pool, under its lock: a group of
 * snapshots that was decided is completed (`group-intent.ts`), what is still frozen is thawed (`frozen-mark.ts`),
 * everything else half-made is removed. Folders of an unfinished restore stay: the restore goes on from them.
 */
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { detachLoop, loopsOf } from '../kernel/loop-device.ts';
import { FileLock } from '../kernel/lock-file.ts';
import { isErrno } from '../std/atomic-write.ts';
import type { Clock } from '../std/clock.ts';
import { hasCode } from '../std/dray-error.ts';
import { freezingPrefix, thawMarked } from './frozen-mark.ts';
import { completeGroup, groupPrefix } from './group-intent.ts';
import { PoolError } from './pool-error.ts';
import { imageName, type PoolLayout } from './pool-layout.ts';
import { removeTree } from './staging.ts';

/** Begins the name of a folder that an interrupted restore goes on from. */
export const restorePrefix = 'restore-';
/** Begins the name of a folder of a rewriting, which the living rewriter has locked. */
export const rewritePrefix = 'rewrite-';

export interface Leftovers {
  /** Folders and files that were removed, or completed in the case of groups. */
  readonly recovered: readonly string[];
  /** Unfinished restores, which were left. */
  readonly restores: readonly string[];
}

/** @throws {PoolError} `pool-damaged` for a group that cannot be read, or without the folder; `pool-io` */
export async function recoverStaging(
  layout: PoolLayout,
  options: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<Leftovers> {
  const names = await readdir(layout.staging).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) throw new PoolError('pool-damaged', `${layout.staging} is gone`);
    throw new PoolError('pool-io', `list ${layout.staging}`, { cause: error });
  });
  const recovered: string[] = [];
  const isGroup = (name: string): boolean => name.startsWith(groupPrefix) && name.endsWith('.json');
  for (const name of names.filter(isGroup)) {
    await completeGroup(layout, name);
    recovered.push(name);
  }
  const restores = names.filter((name) => name.startsWith(restorePrefix));
  for (const name of names.filter((name) => !isGroup(name) && !restores.includes(name))) {
    const path = join(layout.staging, name);
    if (name.startsWith(freezingPrefix) && name.endsWith('.json')) await thawMarked(path);
    if (name.startsWith(rewritePrefix) && (await isHeld(path, options))) continue;
    if (!(await detachImage(join(path, 'live', imageName), options))) continue;
    await removeTree(path).catch(async (error: unknown) => {
      if (!isErrno(error, 'ENOTDIR')) throw error;
      await rm(path, { force: true });
    });
    recovered.push(name);
  }
  return { recovered, restores };
}

/**
 * A new volume gets its file system through a device, which would outlive the file.
 * @returns false while the program that makes the file system, an orphan by now, still has it open: the next one tries again
 */
async function detachImage(image: string, { signal }: { readonly signal: AbortSignal }): Promise<boolean> {
  try {
    for (const { path } of await loopsOf(image, { signal })) await detachLoop(path, { signal, file: image });
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return true;
    if (hasCode(error, 'kernel-busy')) return false;
    throw error;
  }
}

async function isHeld(
  folder: string,
  options: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<boolean> {
  try {
    using _lock = await FileLock.take(folder, { mode: 'exclusive', waitMs: 0, create: false, ...options });
    return false;
  } catch (error) {
    return hasCode(error, 'kernel-busy');
  }
}
