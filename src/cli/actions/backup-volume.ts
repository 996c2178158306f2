import { SnapshotTaking } from '../../transfer/take-pool-snapshot.ts';
import { parseSnapshotName } from '../../pool/pool-names.ts';
import type { BackupOptions } from '../backup.ts';
import { CliError } from '../shell/cli-error.ts';
import { repositoryName } from '../shell/repository-name.ts';
import { openPool } from './open-pool.ts';
import type { RepositoryAction } from './open-repository.ts';
import { refuseReservedTags } from './reserved-tags.ts';

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
  refuseReservedTags(options);
  for (const [key, flag] of Object.entries(refused)) {
    if (options[key as keyof typeof refused]) {
      throw new CliError(
        'usage',
        `${flag} is for files and devices; a pool knows what has changed in ${options.source}`,
      );
    }
  }
  const startedMs = context.clock.monotonicMs();
  const pool = openPool(context);
  const named = options.source.includes('@') ? parseSnapshotName(options.source) : undefined;
  const volume = named?.volume ?? options.source;
  pool.volume(volume);
  if (named !== undefined) pool.snapshot(volume, named.snapshot);
  // While the repository's key is made, and what stores the snapshot is loaded. It is held to the end.
  await using taking = new SnapshotTaking(pool, {
    volume,
    snapshot: named?.snapshot,
    repository: await opening.repositoryId(),
    url: repositoryName(context.repositoryUrl()),
    freezeBoundMs: options.freezeBoundMs,
    onWarning: (text) => context.log.warn(text),
    signal: context.signal,
  });
  const { storeVolume } = await import('./store-volume.ts');
  return await storeVolume(context, options, { opening, pool, taking, startedMs });
};
