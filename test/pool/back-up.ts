import type { Pool } from '../../src/pool/pool.ts';
import type { PoolBackupResult } from '../../src/transfer/pool-backup.ts';
import { backUpVolume } from '../support/back-up-volume.ts';
import type { Engine } from '../support/engine.ts';
import { signal as always } from './small-pool.ts';

/** Backs up the volume `data`. `onProgress` comes while it is read, at least once. */
export async function backUp(
  engine: Engine,
  pool: Pool,
  onProgress: () => void,
  signal: AbortSignal = always,
): Promise<PoolBackupResult> {
  return await backUpVolume(engine, pool, { volume: 'data', onProgress, signal });
}
