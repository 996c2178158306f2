/**
 * What a killed process left in `staging`, dealt with by the next one that changes the pool, under its lock: a group of
 * snapshots that was decided is completed (`group-intent.ts`), what is still frozen is thawed (`frozen-mark.ts`),
 * everything else half-made is removed. Folders of an unfinished restore stay: the restore goes on from them
 * (`unfinished-restores.ts`). So does what has a name that no pool gives.
 *
 * A group that cannot be completed stops whoever wants to change the pool: its snapshots exist, and a name of theirs could
 * be taken, or the base of one removed. Nothing else does. What cannot be removed is nobody's and only takes room; a file
 * system that cannot be thawed is no part of the pool, and no change refused would thaw it. Both stay where they are, are
 * tried again by the next one, and named by `dray pool check` and `dray pool status` (`leftovers.ts`).
 */
import { lstatSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { detachLoop, loopsOf } from '../kernel/loop-device.ts';
import { isErrno, syncDirectory } from '../std/atomic-write.ts';
import type { Clock } from '../std/clock.ts';
import { hasCode } from '../std/dray-error.ts';
import { toError } from '../std/to-error.ts';
import { freezingPrefix, thawMarked } from './frozen-mark.ts';
import { completeGroup, groupPrefix, isGroup } from './group-intent.ts';
import { isFolderHeld } from './held-folder.ts';
import { settleGroup, type FaultyGroup } from './mend-group.ts';
import { isRefused, PoolError } from './pool-error.ts';
import { imageName, type PoolLayout } from './pool-layout.ts';
import { parseRestoreName } from './restore-name.ts';
import { newPrefix, removedPrefix, removeTree } from './staging.ts';

/** Begins the name of a folder of a rewriting, which the living rewriter has locked. */
export const rewritePrefix = 'rewrite-';
const prefixes = [newPrefix, removedPrefix, groupPrefix, rewritePrefix, freezingPrefix];

export interface Leftovers {
  /** Folders and files that were removed, or completed in the case of groups. */
  readonly recovered: readonly string[];
  /** With `mend`, what was dealt with. */
  readonly inTheWay: InTheWay;
  /** Names in `staging`, where another process works in it, or is removing it. */
  readonly held: readonly string[];
  readonly stuck: readonly StuckLeftover[];
}

/** What is left where it is: it cannot be removed or, of a mark of what is frozen, must not be yet. */
export interface StuckLeftover {
  /** In `staging`. */
  readonly name: string;
  readonly reason: string;
}

/** What keeps everybody from changing the pool. */
export interface InTheWay {
  /** The folder `staging` is gone. */
  readonly withoutFolder: boolean;
  readonly groups: readonly FaultyGroup[];
}

export interface RecoverOptions {
  /** Make the folder when it is gone, and deal with groups that cannot be read. */
  readonly mend: boolean;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Whether a name in `staging` is one that a pool gives. */
export function isOfStaging(name: string): boolean {
  return isLeft(name) || parseRestoreName(name) !== undefined;
}

/** Names of what nobody alive needs, unless he has it locked (`isHeld`). */
export function isLeft(name: string): boolean {
  return prefixes.some((prefix) => name.startsWith(prefix));
}

/** Whether it is the folder of a rewriting that goes on, or somebody is removing it. */
export async function isHeld(
  layout: PoolLayout,
  name: string,
  { clock, signal }: Pick<RecoverOptions, 'clock' | 'signal'>,
): Promise<boolean> {
  return await isFolderHeld(join(layout.staging, name), { by: 'shared', clock, signal });
}

/** @throws {PoolError} `pool-damaged` for a group that cannot be read or completed, or without the folder; `pool-io` */
export async function recoverStaging(layout: PoolLayout, options: RecoverOptions): Promise<Leftovers> {
  const found = await namesOf(layout, options);
  const names = found ?? [];
  const recovered: string[] = [];
  const groups: FaultyGroup[] = [];
  for (const name of names.filter(isGroup)) {
    if (options.mend) {
      const faulty = await settleGroup(layout, name);
      if (faulty !== undefined) groups.push(faulty);
    } else {
      await completeGroup(layout, name, options);
    }
    recovered.push(name);
  }
  const held: string[] = [];
  const stuck: StuckLeftover[] = [];
  for (const name of names.filter((name) => isLeft(name) && !isGroup(name))) {
    const outcome = await clear(layout, name, options);
    if (outcome === 'removed') recovered.push(name);
    else if (outcome === 'held') held.push(name);
    else if (outcome !== 'left') stuck.push({ name, reason: outcome.reason });
  }
  return { recovered, inTheWay: { withoutFolder: found === undefined, groups }, held, stuck };
}

/** Whether a name is that of a mark of what is being frozen. */
export function isFreezing(name: string): boolean {
  return name.startsWith(freezingPrefix) && name.endsWith('.json');
}

/** `left`: it is gone, or an orphan still has its image open. */
async function clear(
  layout: PoolLayout,
  name: string,
  options: RecoverOptions,
): Promise<'removed' | 'held' | 'left' | { readonly reason: string }> {
  const path = join(layout.staging, name);
  try {
    if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return 'left'; // A snapshot of a group, which is in its place now.
    const reason = isFreezing(name) ? await thawMarked(path, options) : undefined;
    if (reason !== undefined) return { reason };
    if (await isHeld(layout, name, options)) return 'held';
    if (!(await detachImage(join(path, 'live', imageName), options))) return 'left';
    await removeTree(path).catch(async (error: unknown) => {
      if (!isErrno(error, 'ENOTDIR')) throw error;
      await rm(path, { force: true });
    });
    return 'removed';
  } catch (error) {
    options.signal.throwIfAborted();
    if (isRefused(error)) return { reason: toError(error).message };
    throw error;
  }
}

/** undefined when the folder was gone, and is made now. */
async function namesOf({ staging, root }: PoolLayout, { mend }: RecoverOptions): Promise<string[] | undefined> {
  try {
    return await readdir(staging);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw new PoolError('pool-io', `list ${staging}`, { cause: error });
    if (!mend) throw new PoolError('pool-damaged', `${staging} is gone`, { cause: error });
  }
  await mkdir(staging, { mode: 0o700 });
  await syncDirectory(root);
  return undefined;
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
