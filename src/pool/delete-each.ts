/** Several snapshots on their way out: one that stays keeps none of the others, and what came of each is told. */
import { hasCode } from '../std/dray-error.ts';
import { deleteSnapshot } from './delete-snapshot.ts';
import { PoolError } from './pool-error.ts';
import type { Pool, PoolSnapshot } from './pool.ts';

export interface Deletion {
  readonly snapshot: PoolSnapshot;
  /**
   * `deleted`: gone; with `error` when its blocks did not come back, or that is not durable; with `dryRun` it would go.
   * `absent`: another process has removed it meanwhile. `refused`: a later step needs it, or somebody uses it. `failed`:
   * with any other error.
   */
  readonly outcome: 'deleted' | 'absent' | 'refused' | 'failed';
  /** Why it stays: of `refused` a PoolError, `pool-needed` or `pool-in-use`. Of one that is gone, what is still amiss. */
  readonly error?: unknown;
}

export interface DeleteEachOptions {
  /** Also those that a later step needs. */
  readonly force: boolean;
  /** Look at everything, and delete nothing. */
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
}

/**
 * One after the other, in the given order, which the results have as well. What is not of one snapshot alone, such as an
 * abort, ends it, and is then told of all that are left; it is never thrown, or nobody would learn what is gone.
 */
export async function deleteEach(
  pool: Pool,
  snapshots: readonly PoolSnapshot[],
  { force, dryRun, signal }: DeleteEachOptions,
): Promise<Deletion[]> {
  const deletions: Deletion[] = [];
  let end: Omit<Deletion, 'snapshot'> | undefined;
  for (const snapshot of snapshots) {
    if (end !== undefined) {
      deletions.push({ snapshot, ...end });
      continue;
    }
    try {
      await deleteSnapshot(pool, snapshot, { force, dryRun, id: snapshot.record.id, signal });
      deletions.push({ snapshot, outcome: 'deleted' });
    } catch (error) {
      const outcome = outcomeOf(error);
      deletions.push({ snapshot, outcome, error });
      if (!(error instanceof PoolError) || error.code === 'pool-busy') end = { outcome: 'failed', error };
    }
  }
  return deletions;
}

function outcomeOf(error: unknown): Deletion['outcome'] {
  if (hasCode(error, 'pool-leftover') || hasCode(error, 'pool-not-durable')) return 'deleted';
  // With its volume, at worst.
  if (hasCode(error, 'pool-snapshot-missing') || hasCode(error, 'pool-volume-missing')) return 'absent';
  return hasCode(error, 'pool-needed') || hasCode(error, 'pool-in-use') ? 'refused' : 'failed';
}
