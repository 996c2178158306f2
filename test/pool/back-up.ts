import type { Pool } from '../../src/pool/pool.ts';
import { systemClock as clock } from '../../src/std/clock.ts';
import { backupVolume, repositoryId, type PoolBackupResult } from '../../src/transfer/pool-backup.ts';
import { SnapshotTaking } from '../../src/transfer/take-pool-snapshot.ts';
import { withRepository, type Engine } from '../support/engine.ts';
import { signal as always } from './small-pool.ts';

/** Backs up the volume `data`, as `dray backup --volume` does. `onProgress` comes while it is read, at least once. */
export async function backUp(
  engine: Engine,
  pool: Pool,
  onProgress: () => void,
  signal: AbortSignal = always,
): Promise<PoolBackupResult> {
  return await withRepository(engine, async (repository) => {
    const identity = { userName: 'tester', host: 'here' };
    await using taking = new SnapshotTaking(pool, {
      volume: 'data',
      snapshot: undefined,
      repository: repositoryId(repository),
      url: engine.path,
      freezeBoundMs: 20_000,
      onWarning: () => undefined,
      signal,
    });
    return await backupVolume(
      { repository, pool, clock, identity, taking },
      {
        parent: 'auto',
        trustChanges: false,
        strict: false,
        tags: {},
        layout: 'tree-1',
        store: { kind: 'directory', path: engine.path },
        parallel: 1,
        onProgress,
        onWarning: () => undefined,
        signal,
      },
    );
  });
}
