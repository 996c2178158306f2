/** What a pool's volume is called in a repository, and which snapshots there are of the same volume. */
import { findBase } from '../changes/pool-changes.ts';
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
export function poolLineage(pool: Pool, target: PoolSnapshot): Lineage {
  const { volume } = target;
  let snapshots: readonly PoolSnapshot[] | undefined;
  return {
    source: poolVolumeSource(pool, volume),
    canServe(tags) {
      snapshots ??= readableSnapshots(pool, volume);
      return tags.suspect === undefined && 'base' in findBase({ pool, target, snapshots }, tags);
    },
  };
}
