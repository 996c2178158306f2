/** Snapshots on their way out, in any order: each is an image of its own, whose shared blocks live on in the others. */
import { hasCode } from '../std/dray-error.ts';
import { refuseForeign, strangersInSnapshot } from './find-faults.ts';
import { claimImage } from './hold-image.ts';
import { PoolError, refusal } from './pool-error.ts';
import { snapshotName, type SnapshotName } from './pool-names.ts';
import { describeNeed } from './pool-records.ts';
import type { Pool, PoolSnapshot } from './pool.ts';
import { giveBack, removeTree, takeOut } from './staging.ts';

interface SignalOption {
  readonly signal: AbortSignal;
}

export interface DeleteSnapshotOptions extends SignalOption {
  /** Also one that a later step needs. */
  readonly force: boolean;
  readonly dryRun?: boolean;
  /** Only the snapshot of this id: one that another has made anew under the name is left alone, and missing. */
  readonly id?: string;
}

/**
 * Gone for everybody, durably, when this resolves; with `dryRun` all is looked at and nothing goes.
 * @throws {PoolError} `pool-needed` unless forced; `pool-in-use`, `pool-foreign-file`, `pool-snapshot-missing`, `pool-io`; `pool-leftover`,
 *   `pool-not-durable` for one that is gone
 */
export async function deleteSnapshot(
  pool: Pool,
  { volume, snapshot: name }: SnapshotName,
  { force, dryRun = false, id, signal }: DeleteSnapshotOptions,
): Promise<PoolSnapshot> {
  const { snapshot, gone } = await pool.change(
    async () => {
      const snapshot = pool.snapshot(volume, name);
      if (id !== undefined && snapshot.record.id !== id) {
        throw new PoolError('pool-snapshot-missing', `${volume}@${name} was removed, and made anew, meanwhile`);
      }
      const [need] = snapshot.record.needs;
      if (need !== undefined && !force) {
        throw refusal('pool-needed', { what: snapshotName(snapshot), reason: `needed by: ${describeNeed(need)}` });
      }
      if (!dryRun) return { snapshot, gone: await outOfSight(pool, snapshot, { signal }) };
      using _claim = await claimSnapshot(pool, snapshot, { signal });
      return { snapshot, gone: undefined };
    },
    { signal },
  );
  // Giving back the blocks of a fragmented image takes time: others need not wait for it.
  if (gone !== undefined) await giveBack(gone, snapshotName(snapshot));
  return snapshot;
}

/** Under the pool's lock. @returns the folder in `staging` that is left to be removed */
async function outOfSight(pool: Pool, snapshot: PoolSnapshot, { signal }: SignalOption): Promise<string> {
  using _claim = await claimSnapshot(pool, snapshot, { signal });
  return await takeOut(pool, pool.layout.snapshot(snapshot.volume, snapshot.snapshot));
}

/** Whether a snapshot has to stay for now, whatever needs it: somebody uses it, or it holds what the pool did not make. */
export function isHeldBack(error: unknown): boolean {
  return hasCode(error, 'pool-in-use') || hasCode(error, 'pool-foreign-file');
}

/** @throws {PoolError} such as `isHeldBack` tells */
export async function claimSnapshot(pool: Pool, snapshot: PoolSnapshot, { signal }: SignalOption): Promise<Disposable> {
  const what = snapshotName(snapshot);
  refuseForeign(what, strangersInSnapshot(pool, snapshot));
  return await claimImage(pool, { image: snapshot.image, what }, { signal });
}

/** As `outOfSight`. @returns undefined for one that is held back */
export async function outOfSightUnlessHeldBack(
  pool: Pool,
  snapshot: PoolSnapshot,
  options: SignalOption,
): Promise<string | undefined> {
  try {
    return await outOfSight(pool, snapshot, options);
  } catch (error) {
    if (isHeldBack(error)) return undefined;
    throw error;
  }
}

/** Under the pool's lock; removes a base whatever needs it. @returns false when it is held back */
export async function dropBase(pool: Pool, base: PoolSnapshot, options: SignalOption): Promise<boolean> {
  const gone = await outOfSightUnlessHeldBack(pool, base, options);
  if (gone !== undefined) await removeTree(gone);
  return gone !== undefined;
}
