import type { PoolBases } from '../changes/pool-bases.ts';
import type { Lineage } from './backup-request.ts';
import { poolVolumeSource } from './pool-origin.ts';

/** Two hosts may have copies of one pool: the parent is rather one whose base is in this one. */
export function poolLineage(bases: PoolBases): Lineage {
  const { pool, target } = bases;
  return {
    source: poolVolumeSource(pool, target.volume),
    canServe: (tags) => tags.suspect === undefined && 'base' in bases.find(tags),
  };
}
