import type { Pool } from '../../src/pool/pool.ts';
import { repositoryId } from '../../src/repository/repository-id.ts';
import { systemClock as clock } from '../../src/std/clock.ts';
import { backupVolume, type PoolBackupResult } from '../../src/transfer/pool-backup.ts';
import { SnapshotTaking } from '../../src/transfer/take-pool-snapshot.ts';
import { withRepository, type Engine } from './engine.ts';

export interface VolumeToBackUp {
  readonly volume: string;
  /** Absent: one is made. */
  readonly snapshot?: string;
  /** Comes while it is read, at least once. */
  readonly onProgress?: () => void;
  readonly signal: AbortSignal;
}

/** Backs up a volume of a pool, as `dray backup VOLUME` does. */
export async function backUpVolume(
  engine: Engine,
  pool: Pool,
  { volume, snapshot, onProgress = () => undefined, signal }: VolumeToBackUp,
): Promise<PoolBackupResult> {
  return await withRepository(engine, async (repository) => {
    const identity = { userName: 'tester', host: 'here' };
    const onWarning = (): void => undefined;
    await using taking = new SnapshotTaking(pool, {
      volume,
      snapshot,
      repository: repositoryId(repository.opened),
      url: engine.path,
      freezeBoundMs: 20_000,
      onWarning,
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
        onWarning,
        signal,
      },
    );
  });
}
