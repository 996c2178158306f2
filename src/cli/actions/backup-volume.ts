import type { BackupResult } from '../../transfer/backup-request.ts';
import { backupVolume as run, type PoolBackupResult } from '../../transfer/pool-backup.ts';
import { SnapshotTaking } from '../../transfer/take-pool-snapshot.ts';
import { parseSnapshotName, snapshotName } from '../../pool/pool-names.ts';
import type { BackupOptions } from '../backup.ts';
import type { CliContext } from '../shell/cli-context.ts';
import { CliError } from '../shell/cli-error.ts';
import { repositoryName } from '../shell/repository-name.ts';
import { exitCodes } from '../shell/exit-code.ts';
import { formatDuration } from '../shell/sizes.ts';
import { backupRequest, refuseReservedTags } from './backup-request.ts';
import { openPool } from './open-pool.ts';
import { openRepository, type RepositoryAction } from './open-repository.ts';
import { printBackup, type BackupFacts } from './print-backup.ts';

/** Options that are about what a pool knows by itself. */
const refused = {
  changesPath: '--changes',
  sourceId: '--source-id',
  trustMtime: '--trust-mtime',
  bitmap: '--bitmap',
  force: '--force',
} as const satisfies Partial<Record<keyof BackupOptions, string>>;

/** `VOLUME`, of which a snapshot is made, or `VOLUME@SNAPSHOT`. */
export const backupVolume: RepositoryAction<BackupOptions> = async (context, options, opening) => {
  const { clock, identity } = context;
  refuseReservedTags(options);
  for (const [key, flag] of Object.entries(refused)) {
    if (options[key as keyof typeof refused]) {
      throw new CliError(
        'usage',
        `${flag} is for files and devices; a pool knows what has changed in ${options.source}`,
      );
    }
  }
  const startedMs = clock.monotonicMs();
  const pool = openPool(context);
  const named = options.source.includes('@') ? parseSnapshotName(options.source) : undefined;
  const volume = named?.volume ?? options.source;
  pool.volume(volume);
  if (named !== undefined) pool.snapshot(volume, named.snapshot);
  // While the repository's key is made. Disposed of after the repository, so that it is held to the end.
  await using taking = new SnapshotTaking(pool, {
    volume,
    snapshot: named?.snapshot,
    repository: await opening.repositoryId(),
    url: repositoryName(context.repositoryUrl()),
    freezeBoundMs: options.freezeBoundMs,
    onWarning: (text) => context.log.warn(text),
    signal: context.signal,
  });
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
};

function sayCompleted(context: CliContext, { completed }: PoolBackupResult): void {
  if (completed === undefined) return;
  context.log.info(`an interrupted backup was completed first, as ${completed.snapshot}`);
}

function poolFacts(result: PoolBackupResult): NonNullable<BackupFacts['also']> {
  const { poolSnapshot, frozenMs, removed, completed } = result;
  const { volume, name, record } = poolSnapshot;
  const { consistency, reason } = record;
  const what = snapshotName({ volume, snapshot: name });
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
