/** What a pool's volume is called in a repository, and which snapshots there are of the same volume. */
import type { Pool, PoolSnapshot } from '../pool/pool.ts';
import { readableSnapshots } from '../pool/readable.ts';
import type { SnapshotSource } from '../repository/manifest/snapshot-source.ts';
import type { Identity } from '../repository/repository.ts';
import type { Lineage } from './backup-request.ts';

/** `POOL-ID@HOST:/VOLUME`, the source of a pool's volume in a repository: the same on whatever path its pool is mounted. */
export function poolOrigin(
  { pool, identity }: { readonly pool: Pool; readonly identity: Identity },
  volume: string,
): SnapshotSource {
  return { userName: pool.id, host: identity.host, path: `/${volume}` };
}

/** A pool's volume on whatever host: the disk may have moved, and a container has another host name each time. */
export function poolVolumeSource(pool: Pool, volume: string): Partial<SnapshotSource> {
  return { userName: pool.id, path: `/${volume}` };
}

/** Two hosts may have copies of one pool: the parent is rather one whose base is in this one. */
export function poolLineage(pool: Pool, { volume, record }: PoolSnapshot): Lineage {
  let bases: ReadonlySet<string> | undefined;
  return {
    source: poolVolumeSource(pool, volume),
    hasBase({ poolVolume, poolSnapshot, suspect }) {
      if (poolVolume !== record.volumeId || poolSnapshot === undefined || suspect !== undefined) return false;
      bases ??= new Set(readableSnapshots(pool, volume).map((base) => base.record.id));
      return bases.has(poolSnapshot);
    },
  };
}
