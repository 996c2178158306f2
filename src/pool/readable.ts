/**
 * What of a pool can be read. One lost record must not hide all the others, so listings and figures take these; what
 * they leave out is named by `findFaults`.
 */
import { PoolError } from './pool-error.ts';
import { namesIn, oldestFirst, type Pool, type PoolSnapshot, type PoolVolume } from './pool.ts';

const leftOut: readonly string[] = ['pool-damaged', 'pool-version', 'pool-volume-missing', 'pool-snapshot-missing'];

/** As `Pool.volumes`, without those that are damaged, or of a newer dray. */
export function readableVolumes(pool: Pool): PoolVolume[] {
  return namesIn(pool.layout.volumes).flatMap((name) => readableVolume(pool, name) ?? []);
}

/** As `Pool.findVolume`, undefined also for one that is damaged, or of a newer dray. */
export function readableVolume(pool: Pool, name: string): PoolVolume | undefined {
  return unlessDamaged(() => pool.volume(name));
}

/** As `Pool.snapshots`, without those that are damaged, or of a newer dray. */
export function readableSnapshots(pool: Pool, volume: string): PoolSnapshot[] {
  const names = namesIn(pool.layout.snapshots(volume));
  return oldestFirst(names.flatMap((name) => unlessDamaged(() => pool.snapshot(volume, name)) ?? []));
}

export interface VolumeContents {
  readonly volume: PoolVolume;
  readonly snapshots: readonly PoolSnapshot[];
}

/** All of a pool that can be read, each record once. */
export function readableContents(pool: Pool): VolumeContents[] {
  return readableVolumes(pool).map((volume) => ({ volume, snapshots: readableSnapshots(pool, volume.name) }));
}

/** One that has gone meanwhile is left out as well. */
function unlessDamaged<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (error instanceof PoolError && leftOut.includes(error.code)) return undefined;
    throw error;
  }
}
