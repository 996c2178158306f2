import { readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';

import type { StoreCounts } from '../../blobs/count.ts';
import { parseChangeList, type ChangeList } from '../../changes/change-list.ts';
import { isReservedTag } from '../../repository/tree/volume-tags.ts';
import { backup as run } from '../../transfer/backup.ts';
import type { BackupResult } from '../../transfer/backup-request.ts';
import { storeWorkers } from '../../transfer/store-messages.ts';
import { workBytesOf } from '../../transfer/store-tasks.ts';
import { VolumeError } from '../../volume/block-source.ts';
import { openSource, sourceInUse } from '../../volume/file-source.ts';
import type { BackupOptions } from '../backup.ts';
import type { CliContext } from '../shell/cli-context.ts';
import { CliError } from '../shell/cli-error.ts';
import { exitCodes } from '../shell/exit-code.ts';
import { formatDuration, formatSize } from '../shell/sizes.ts';
import { openRepository, requestsText, workersOf, type RepositoryAction } from './open-repository.ts';

/** A change list of one extent per 4 KiB of a TiB, as JSON. */
const changeListBytesMax = 1024 * 1024 * 1024;

/** What takes longer to read than threads take to start. */
const workersWorthBytes = 256 * 1024 * 1024;

export const backup: RepositoryAction<BackupOptions> = async (context, options, opening) => {
  const { clock, signal, identity } = context;
  const reserved = Object.keys(options.tags).find(isReservedTag);
  if (reserved !== undefined)
    throw new CliError('usage', `tags that begin with "dray:" are the program's own: ${reserved}`);
  const startedMs = clock.monotonicMs();
  const changeList = options.changesPath === undefined ? undefined : await readChangeList(options.changesPath);
  await using source = await openSource(options.source, { signal });
  const use = await sourceInUse(options.source, { signal });
  if (use !== undefined && !options.force) {
    throw new VolumeError('volume-busy', `${options.source} may be written to while it is read: ${use.reason}`);
  }
  if (use !== undefined) context.log.warn(`${options.source}: ${use.reason}; the snapshot is no single point in time`);
  // Threads load while the repository is opened; what changed little needs none.
  const mayReadBytes = options.trustMtime ? 0 : workBytesOf(changeList?.extents, source.sizeBytes);
  await using workers = mayReadBytes >= workersWorthBytes ? storeWorkers(workersOf(options)) : undefined;
  await using opened = await openRepository(context, opening);
  const progress = context.progress();
  const result = await run(
    { repository: opened.repository, source, clock, identity },
    {
      // As the user names it: behind a link such as /dev/vg0/data the device's own name changes from day to day.
      origin: { ...identity, path: resolve(options.source) },
      sourceId: options.sourceId,
      parent: parentOf(options.parent),
      changeList,
      trustMtime: options.trustMtime,
      strict: options.strict,
      allowChanges: options.force,
      tags: options.tags,
      compression: options.compression,
      layout: options.layout === 'flat' ? 'flat-1' : 'tree-1',
      store: opened.store,
      parallel: workersOf(options),
      workers,
      onProgress: (counts, totalBytes) =>
        progress.update({
          phase: 'backup',
          doneBytes: counts.doneBytes,
          totalBytes,
          changedBytes: counts.newBytes,
          storedBytes: counts.packedBytes,
        }),
      onWarning: (text) => context.log.warn(text),
      signal,
    },
  );
  progress.end();
  await print(context, options, result, { ms: clock.monotonicMs() - startedMs, requests: opened.requests() });
  return exitCodes.done;
};

function parentOf(text: string): 'auto' | 'none' | { readonly snapshot: string } {
  return text === 'auto' || text === 'none' ? text : { snapshot: text };
}

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

async function print(
  context: CliContext,
  options: BackupOptions,
  result: BackupResult,
  { ms, requests }: { readonly ms: number; readonly requests: StoreCounts },
): Promise<void> {
  const { counts, changes, audit } = result;
  const value = {
    snapshot: result.snapshot,
    source: options.source,
    sizeBytes: result.sizeBytes,
    parent: result.parent,
    rung: changes.rung,
    reason: changes.reason,
    resumed: result.resumed,
    readBytes: counts.readBytes,
    zeroBytes: counts.zeroBytes,
    changedBytes: result.changedBytes,
    newBytes: counts.newBytes,
    storedBytes: counts.packedBytes,
    audit: audit && { chunks: audit.chunks, missed: audit.missed },
    requests,
    durationMs: Math.round(ms),
  };
  const rate = ms > 0 ? ` (${formatSize((counts.readBytes / ms) * 1000)}/s)` : '';
  const fields: [string, string][] = [
    ['Snapshot', result.snapshot],
    ['Volume', `${options.source}, ${formatSize(result.sizeBytes)}`],
    ['Changes', `${changes.rung}: ${changes.reason}`],
    ['Read', `${formatSize(counts.readBytes)} in ${formatDuration(ms)}${rate}`],
    ['Stored', `${formatSize(counts.newBytes)} new, ${formatSize(counts.packedBytes)} in the repository`],
  ];
  fields.push(['Requests', requestsText(requests)]);
  if (result.parent !== undefined) fields.splice(3, 0, ['Parent', result.parent]);
  if (result.changedBytes !== undefined)
    fields.push(['Changed', `${formatSize(result.changedBytes)} since the parent`]);
  if (result.resumed) fields.push(['Resumed', 'went on from an interrupted run']);
  if (audit !== undefined) fields.push(['Audit', `${audit.chunks} chunks, ${audit.missed.length} missed`]);
  await context.output.record(value, { names: [result.snapshot], fields });
}
