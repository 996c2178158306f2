/** The restoring of a folder, for `dray restore`: from the words of the command to what is printed. */
import { join } from 'node:path';

import type { DirEntry } from '../../repository/manifest/dir-entry.ts';
import type { Snapshot } from '../../repository/manifest/snapshot.ts';
import { RepositoryError } from '../../repository/repository-error.ts';
import { formatSize } from '../../std/format-size.ts';
import { parsePathPattern, type PathPattern } from '../../std/path-patterns.ts';
import { EntryChoice } from '../../transfer/entry-choice.ts';
import type { FetchWorkers } from '../../transfer/fetch-messages.ts';
import type { Omission } from '../../transfer/file-failure.ts';
import type { FilesCounts } from '../../transfer/files-counts.ts';
import { planRestoreFiles, restoreFiles as run, type RestoreFilesRequest } from '../../transfer/restore-files.ts';
import type { RestoreOptions } from '../restore.ts';
import type { CliContext } from '../shell/cli-context.ts';
import { CliError } from '../shell/cli-error.ts';
import { type ExitCode, exitCodes } from '../shell/exit-code.ts';
import { formatDuration } from '../shell/sizes.ts';
import { workersOf, type OpenRepository, requestsText } from './open-repository.ts';

/** Left-out entries that are named on stderr, and in the result; the others are counted. */
const namedMax = 100;

export interface FolderOfSnapshot {
  readonly snapshot: Snapshot;
  readonly root: DirEntry;
}

export async function restoreFolder(
  context: CliContext,
  options: RestoreOptions,
  { snapshot, root, opened, workers }: FolderOfSnapshot & { opened: OpenRepository; workers: FetchWorkers },
): Promise<ExitCode> {
  const { clock, rng } = context;
  const startedMs = clock.monotonicMs();
  if (options.delta) throw new CliError('usage', '--delta is for volumes; files that are there are compared anyway');
  const omissions: Omission[] = [];
  const causes = new Set<Omission['cause']>();
  const request = requestOf(context, options, { snapshot, root, opened, workers }, (omission) => {
    causes.add(omission.cause);
    if (omissions.length >= namedMax) return;
    omissions.push(omission);
    context.log.warn(`left out ${omission.path}: ${omission.reason}`);
  });
  if (options.dryRun) {
    const { path, way } = await planRestoreFiles(request);
    const sizeBytes = root.summary?.sizeBytes ?? 0;
    const chosen = options.include.length + options.exclude.length > 0;
    const value = { snapshot: snapshot.id, target: path, way, sizeBytes };
    const would = `${way}, ${chosen ? 'what the patterns take of ' : ''}${formatSize(sizeBytes)} to ${path}`;
    await context.output.record({ ...value, dryRun: true }, { names: [path], fields: [['Would write', would]] });
    return exitCodes.done;
  }
  const { target, counts, resumed } = await run({ repository: opened.repository, rng }, request);
  context.endProgress();
  if (options.include.length > 0 && counts.files + counts.links + counts.folders + counts.omitted === 0) {
    throw new RepositoryError('path-missing', 'nothing in the snapshot is what --include takes');
  }
  const ms = clock.monotonicMs() - startedMs;
  const value = {
    snapshot: snapshot.id,
    target,
    kind: 'folder',
    resumed,
    ...counts,
    requests: opened.requests(),
    durationMs: Math.round(ms),
    omissions,
  };
  await context.output.record(value, {
    names: [target],
    fields: [
      ['Restored', `${snapshot.id} to ${target}`],
      ['Entries', `${counts.files} files, ${counts.links} links, ${counts.folders} folders`],
      ['Fetched', `${formatSize(counts.fetchedBytes)} from ${formatSize(counts.packedBytes)} in the repository`],
      ['Written', `${formatSize(counts.writtenBytes)}, verified and on disk, in ${formatDuration(ms)}`],
      ['Requests', requestsText(opened.requests())],
      ...(resumed ? [['Resumed', `${counts.kept} files were whole already`] as const] : []),
      ...(counts.omitted > 0 ? [['Left out', omittedText(counts)] as const] : []),
    ],
  });
  if (causes.has('damaged')) {
    throw new RepositoryError('corrupt', `snapshot ${snapshot.id}: left out ${omittedText(counts)}`);
  }
  // Entries of a kind that is never restored are told; they are no failure.
  return causes.has('refused') ? exitCodes.failed : exitCodes.done;
}

function requestOf(
  context: CliContext,
  options: RestoreOptions,
  { snapshot, root, opened, workers }: FolderOfSnapshot & { opened: OpenRepository; workers: FetchWorkers },
  onOmission: (omission: Omission) => void,
): RestoreFilesRequest {
  const progress = context.progress();
  const totalBytes = root.summary?.sizeBytes ?? 0;
  return {
    snapshot: snapshot.id,
    root,
    target: options.target,
    overwrite: options.overwrite,
    owners: options.owners && process.geteuid?.() === 0,
    choice: new EntryChoice({ include: patterns(options.include), exclude: patterns(options.exclude) }),
    stateDirectory: join(context.cacheDirectory(), 'restores'),
    store: opened.store,
    parallel: workersOf(options),
    workers,
    onProgress: ({ doneBytes, writtenBytes }) =>
      progress.update({ phase: 'restore', doneBytes, totalBytes, storedBytes: writtenBytes }),
    onOmission,
    signal: context.signal,
  };
}

function patterns(texts: readonly string[]): PathPattern[] {
  return texts.map((text) => {
    const pattern = parsePathPattern(text);
    if (pattern === undefined) throw new CliError('usage', `not a pattern: ${JSON.stringify(text)}`);
    return pattern;
  });
}

function omittedText({ omitted }: FilesCounts): string {
  const more = omitted > namedMax ? `, of which ${namedMax} are named` : ', each named';
  return `${omitted} entries${more}; everything else is whole and on disk`;
}
