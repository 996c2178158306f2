/**
 * Mends what a crash, or a hand, left in a pool. What can be made again from what is there is made; what is lost is
 * named, and removed only when that is asked for; unfinished restores as well. What is foreign stays (`find-faults.ts`).
 */
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { atomicWrite, syncDirectory } from '../std/atomic-write.ts';
import { findFaults, hasSnapshots, obstacles, type Finding } from './find-faults.ts';
import { guessSnapshot, guessVolume } from './guess-records.ts';
import { findLeftovers, leftoverFindings } from './leftovers.ts';
import { encodeRecord, type SnapshotRecord, type VolumeRecord } from './pool-records.ts';
import type { Pool } from './pool.ts';
import type { Leftovers } from './recover-staging.ts';
import { giveBack, removeTree, takeOut } from './staging.ts';
import { takeOutUnfinished, unfinishedRestores, type UnfinishedRestore } from './unfinished-restores.ts';

export interface CheckedRestore extends UnfinishedRestore {
  /** It was; or would be, in a dry run. */
  readonly removed: boolean;
}

export interface CheckResult {
  readonly recovered: Leftovers['recovered'];
  readonly held: Leftovers['held'];
  readonly restores: readonly CheckedRestore[];
  readonly findings: readonly Finding[];
  readonly mended: number;
}

export interface CheckOptions {
  readonly dryRun: boolean;
  /** Take what is damaged beyond mending out of the pool. */
  readonly removeDamaged: boolean;
  /** Give up restores that have not ended, but for those whose process lives. */
  readonly removeUnfinished: boolean;
  readonly signal: AbortSignal;
}

const staysAsItIs: readonly Finding['remedy'][] = ['none', 'hand', 'stuck', 'cleared', 'newer'];

/** @throws {PoolError} `pool-busy`, `pool-io` */
export async function checkPool(pool: Pool, options: CheckOptions): Promise<CheckResult> {
  const { dryRun, removeDamaged, removeUnfinished, signal } = options;
  if (dryRun) {
    const restores = (await unfinishedRestores(pool, { signal })).map((restore) => {
      return { ...restore, removed: removeUnfinished && !restore.running };
    });
    const { removable: recovered, held, stuck } = await findLeftovers(pool, { signal });
    return { recovered, held, restores, findings: [...leftoverFindings(pool, stuck), ...findFaults(pool)], mended: 0 };
  }
  const { gone, ...result } = await pool.change(
    async ({ recovered, inTheWay, held, stuck }) => {
      // Mended before anything else could be.
      const before = obstacles(pool, inTheWay);
      const { restores, gone } = await clearRestores(pool, options);
      const findings = findFaults(pool);
      let mended = before.length;
      for (const finding of findings) {
        const { remedy } = finding;
        if (staysAsItIs.includes(remedy) || (remedy === 'damaged' && !removeDamaged)) continue;
        await mend(pool, finding, { signal });
        mended += 1;
      }
      const left = leftoverFindings(pool, stuck);
      return { recovered, held, restores, findings: [...before, ...left, ...findings], mended, gone };
    },
    { mend: true, signal },
  );
  for (const path of gone) await giveBack(path, 'an unfinished restore');
  return result;
}

async function clearRestores(
  pool: Pool,
  { removeUnfinished, signal }: CheckOptions,
): Promise<{ readonly restores: readonly CheckedRestore[]; readonly gone: readonly string[] }> {
  const gone: string[] = [];
  const restores: CheckedRestore[] = [];
  for (const restore of await unfinishedRestores(pool, { signal })) {
    const path = removeUnfinished ? await takeOutUnfinished(pool, restore.folder, { signal }) : undefined;
    if (path !== undefined) gone.push(path);
    restores.push({ ...restore, removed: path !== undefined });
  }
  return { restores, gone };
}

async function mend(pool: Pool, finding: Finding, { signal }: { readonly signal: AbortSignal }): Promise<void> {
  const { kind, path, what } = finding;
  const [volume = '', snapshot = ''] = what.split('@');
  const replace = async (record: VolumeRecord | SnapshotRecord): Promise<void> =>
    await atomicWrite(path, encodeRecord(record), { rng: pool.rng, signal });
  switch (kind) {
    case 'stray':
      await rm(path, { force: true });
      return await syncDirectory(dirname(path));
    case 'volume-record':
      return await replace(guessVolume(pool, volume));
    case 'snapshot-record':
      return await replace(guessSnapshot(pool, volume, snapshot));
    case 'snapshot-image':
      return await removeTree(await takeOut(pool, path));
    case 'volume-image':
      return await removeVolumeImage(pool, volume);
    case 'staging':
    case 'group':
    case 'foreign':
    case 'leftover':
    case 'frozen':
      return;
  }
}

/** Its snapshots are what is left of a volume then: they stay, can be cloned, and go with `deleteVolume`. */
async function removeVolumeImage(pool: Pool, volume: string): Promise<void> {
  const { layout } = pool;
  const goes = hasSnapshots(pool, volume) ? layout.live(volume) : layout.volume(volume);
  await removeTree(await takeOut(pool, goes));
}
