/** What a pool's volume is called in a repository. */
import type { Pool } from '../pool/pool.ts';
import type { SnapshotSource } from '../repository/manifest/snapshot-source.ts';
import type { Identity } from '../repository/repository.ts';

/** A pool's volume on whatever host: the disk may have moved, and a container has another host name each time. */
export function poolVolumeSource(pool: Pool, volume: string): Omit<SnapshotSource, 'host'> {
  return { userName: pool.id, path: `/${volume}` };
}

/** `POOL-ID@HOST:/VOLUME`, the source of a pool's volume in a repository: the same on whatever path its pool is mounted. */
export function poolOrigin(
  { pool, identity: { host } }: { readonly pool: Pool; readonly identity: Identity },
  volume: string,
): SnapshotSource {
  return { ...poolVolumeSource(pool, volume), host };
}
