import { hasCode } from '../std/dray-error.ts';
import { createSnapshots, type CreatedSnapshots, type CreateSnapshotsOptions } from './create-snapshots.ts';
import { timeName } from './pool-names.ts';
import type { Pool } from './pool.ts';

/** Of one second. */
const namesMax = 100;

export interface NamedByTimeOptions extends Omit<CreateSnapshotsOptions, 'snapshots'> {
  /** Of all of them at one instant. */
  readonly volumes: readonly string[];
  /** Begins the names. */
  readonly prefix: string;
}

/**
 * Snapshots under the time, such as `20310402T171500Z`; a further one of the same second gets a number, `-2`.
 * @throws {PoolError} as `createSnapshots`
 */
export async function createNamedByTime(
  pool: Pool,
  { volumes, prefix, ...options }: NamedByTimeOptions,
): Promise<CreatedSnapshots> {
  const time = timeName(new Date(pool.clock.nowMs()).toISOString());
  for (let number = 1; ; number += 1) {
    const snapshot = `${prefix}${time}${number === 1 ? '' : `-${number}`}`;
    try {
      return await createSnapshots(pool, { ...options, snapshots: volumes.map((volume) => ({ volume, snapshot })) });
    } catch (error) {
      if (!hasCode(error, 'pool-snapshot-exists') || number === namesMax) throw error;
    }
  }
}
