import { readFile, stat } from 'node:fs/promises';

import { parseChangeList, type ChangeList } from '../../changes/change-list.ts';
import { backup as run } from '../../transfer/backup.ts';
import { storeWorkers } from '../../transfer/store-messages.ts';
import { workBytesOf } from '../../transfer/store-tasks.ts';
import type { BackupOptions } from '../backup.ts';
import { CliError } from '../shell/cli-error.ts';
import { exitCodes } from '../shell/exit-code.ts';
import { backupRequest } from './backup-request.ts';
import { openBackupSource } from './backup-source.ts';
import { openRepository, workersOf, type RepositoryAction } from './open-repository.ts';
import { printBackup } from './print-backup.ts';
import { refuseReservedTags } from './reserved-tags.ts';

/** A change list of one extent per 4 KiB of a TiB, as JSON. */
const changeListBytesMax = 1024 * 1024 * 1024;

/** What takes longer to read than threads take to start. */
const workersWorthBytes = 256 * 1024 * 1024;

/** A block device, an image file, or an NBD server's export. */
export const backupDisk: RepositoryAction<BackupOptions> = async (context, options, opening) => {
  const { clock, identity } = context;
  refuseReservedTags(options);
  const startedMs = clock.monotonicMs();
  const changeList = options.changesPath === undefined ? undefined : await readChangeList(options.changesPath);
  const { source, path, offers, sourceTags } = await openBackupSource(context, options);
  await using _source = source;
  // Threads load while the repository is opened; what changed little needs none.
  const mayReadBytes = options.trustMtime || offers.length > 0 ? 0 : workBytesOf(changeList?.extents, source.sizeBytes);
  await using workers = mayReadBytes >= workersWorthBytes ? storeWorkers(workersOf(options)) : undefined;
  await using opened = await openRepository(context, opening);
  const progress = context.progress();
  const result = await run(
    { repository: opened.repository, source, clock, identity },
    {
      origin: { ...identity, path },
      sourceId: options.sourceId,
      changeList,
      trustMtime: options.trustMtime,
      offers,
      allowChanges: options.force,
      sourceTags,
      workers,
      ...backupRequest(context, options, { opened, progress }),
    },
  );
  progress.end();
  const ms = clock.monotonicMs() - startedMs;
  await printBackup(context, result, { source: options.source, ms, requests: opened.requests() });
  return exitCodes.done;
};

async function readChangeList(path: string): Promise<ChangeList> {
  try {
    const { size } = await stat(path);
    if (size > changeListBytesMax) throw new CliError('usage', `${path} is longer than 1 GiB`);
    return parseChangeList(await readFile(path, 'utf8'));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      throw new CliError('usage', `there is no change list ${path}`);
    }
    throw error;
  }
}
