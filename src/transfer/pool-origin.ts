import type { Pool } from '../pool/pool.ts';
import type { SnapshotSource } from '../repository/manifest/snapshot-source.ts';
import type { Identity } from '../repository/repository.ts';

/** `POOL-ID@HOST:/VOLUME`, the source of a pool's volume in a repository: the same on whatever path its pool is mounted. */
export function poolOrigin(
  { pool, identity }: { readonly pool: Pool; readonly identity: Identity },
  volume: string,
): SnapshotSource {
  return { userName: pool.id, host: identity.host, path: `/${volume}` };
}
