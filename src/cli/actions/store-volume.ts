import type { BackupResult } from '../../transfer/backup-request.ts';
import { backupVolume as run, type PoolBackupResult } from '../../transfer/pool-backup.ts';
import type { SnapshotTaking } from '../../transfer/take-pool-snapshot.ts';
import { snapshotName } from '../../pool/pool-names.ts';
import type { Pool } from '../../pool/pool.ts';
import type { BackupOptions } from '../backup.ts';
import type { CliContext } from '../shell/cli-context.ts';
import { type ExitCode, exitCodes } from '../shell/exit-code.ts';
import { formatDuration } from '../shell/sizes.ts';
import { backupRequest } from './backup-request.ts';
import type { RepositoryOpening } from './begin-opening.ts';
import { openRepository } from './open-repository.ts';
import { printBackup, type BackupFacts } from './print-backup.ts';

export interface StoreVolumeParts {
  readonly opening: RepositoryOpening;
  readonly pool: Pool;
  /** The caller's to dispose of. */
  readonly taking: SnapshotTaking;
  /** When the command began, on the monotonic clock. */
  readonly startedMs: number;
}

/** The rest of `dray backup VOLUME`, from the moment on in which its snapshot is being taken. */
export async function storeVolume(
  context: CliContext,
  options: BackupOptions,
  { opening, pool, taking, startedMs }: StoreVolumeParts,
): Promise<ExitCode> {
  const { clock, identity } = context;
  await using opened = await openRepository(context, opening);
  const progress = context.progress();
  const result = await run(
    { repository: opened.repository, pool, clock, identity, taking },
    backupRequest(context, options, { opened, progress }),
  );
  progress.end();
  sayCompleted(context, result);
  const ms = clock.monotonicMs() - startedMs;
  await printBackup(context, result, {
    source: options.source,
    ms,
    requests: opened.requests(),
    also: poolFacts(result),
  });
  return exitCodes.done;
}

function sayCompleted(context: CliContext, { completed }: PoolBackupResult): void {
  if (completed === undefined) return;
  context.log.info(`an interrupted backup was completed first, as ${completed.snapshot}`);
}

function poolFacts(result: PoolBackupResult): NonNullable<BackupFacts['also']> {
  const { poolSnapshot, frozenMs, removed, completed } = result;
  const { consistency, reason } = poolSnapshot.record;
  const what = snapshotName(poolSnapshot);
  const frozen = frozenMs > 0 ? `, its writers waited ${formatDuration(frozenMs)}` : '';
  const why = reason === undefined ? '' : `: ${reason}`;
  const value = {
    poolSnapshot: what,
    consistency,
    frozenMs: Math.round(frozenMs),
    removed,
    ...(completed !== undefined && { completed: completedFacts(completed) }),
  };
  const fields: [string, string][] = [['From', `${what} (${consistency}${why})${frozen}`]];
  if (removed.length > 0) fields.push(['Removed', `${removed.join(', ')}, needed no more`]);
  return { value, fields };
}

function completedFacts({ snapshot, resumed, counts }: BackupResult): object {
  return { snapshot, resumed, readBytes: counts.readBytes, storedBytes: counts.packedBytes };
}
