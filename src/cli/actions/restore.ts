import { mkdir, open, stat } from 'node:fs/promises';
import { isAbsolute, join, relative, resolve } from 'node:path';

import type { BlobStoreLocation } from '../../blobs/location.ts';
import type { DirEntry } from '../../repository/manifest/dir-entry.ts';
import { parseSnapshotPath } from '../../repository/manifest/find-entry.ts';
import { RepositoryError } from '../../repository/repository-error.ts';
import { resolveSnapshot } from '../../repository/manifest/snapshot.ts';
import type { VolumeSnapshot } from '../../transfer/backup-parent.ts';
import { attributesOf } from '../../transfer/entry-attributes.ts';
import { fetchWorkers, type FetchWorkers } from '../../transfer/fetch-messages.ts';
import { planRestore, restore as run, type RestoreRequest } from '../../transfer/restore.ts';
import { openContent } from '../../transfer/snapshot-content.ts';
import { entryNameFault } from '../../volume/entry-name.ts';
import { applyAttributes } from '../../volume/file-attributes.ts';
import { volumeError } from '../../volume/volume-errors.ts';
import { formatSize } from '../../std/format-size.ts';
import type { RestoreOptions } from '../restore.ts';
import type { CliContext } from '../shell/cli-context.ts';
import { CliError } from '../shell/cli-error.ts';
import { type ExitCode, exitCodes } from '../shell/exit-code.ts';
import { formatDuration } from '../shell/sizes.ts';
import {
  openRepository,
  workersOf,
  type OpenRepository,
  type RepositoryAction,
  requestsText,
} from './open-repository.ts';
import { meansVolume } from './means-volume.ts';
import { restoreFolder } from './restore-files.ts';
import { restoreToVolume } from './restore-volume.ts';

export const restore: RepositoryAction<RestoreOptions> = async (context, options, opening) => {
  const { signal } = context;
  // Threads load while the repository is opened.
  await using workers = fetchWorkers(workersOf(options));
  await using opened = await openRepository(context, opening, { cached: true });
  const { repository } = opened;
  const set = await repository.manifests.load({ signal });
  const named = parseSnapshotPath(options.snapshot);
  const snapshot = resolveSnapshot(set, named.snapshot);
  if (await meansVolume(context, options.target, { isNew: true })) {
    const content = await openContent(repository, { snapshot, path: named.path }, { asFolder: false, signal });
    if (content.kind === 'folder') throw new CliError('usage', 'a volume takes an image; this is a folder');
    return await restoreToVolume(context, options, { volume: content.volume, opened, workers });
  }
  refuseRepository(opened.store, options.target);
  const asFolder = options.target.endsWith('/') || (await isFolder(options.target));
  const content = await openContent(repository, { snapshot, path: named.path }, { asFolder, signal });
  if (content.kind === 'folder') {
    return await restoreFolder(context, options, { snapshot, root: content.root, opened, workers });
  }
  if (options.include.length > 0 || options.exclude.length > 0) {
    throw new CliError('usage', '--include and --exclude are for folders; this is one file or volume');
  }
  const entry = content.kind === 'file' ? content.entry : undefined;
  if (entry === undefined && options.target.endsWith('/')) {
    const meant = `${options.target} names a folder; an image becomes a file, a device, or a volume of a pool`;
    throw new CliError('usage', `${meant}: leave the slash at its end out`);
  }
  const target = entry !== undefined && asFolder ? await inFolder(options, entry.name) : options.target;
  return await restoreVolume(context, { ...options, target }, { volume: content.volume, entry, opened, workers });
};

/** What it would lose is the very thing that is restored. */
function refuseRepository(store: BlobStoreLocation, target: string): void {
  if (store.kind !== 'directory') return;
  const way = relative(store.path, resolve(target));
  if (way === '' || (!isAbsolute(way) && way.split('/')[0] !== '..')) {
    throw new CliError('usage', `${target} lies in the repository ${store.path}`);
  }
}

/** The file's own name in a folder, which is made when it is not there. */
async function inFolder({ target: folder, dryRun }: RestoreOptions, name: string): Promise<string> {
  const fault = entryNameFault(name);
  if (fault !== undefined) throw new RepositoryError('corrupt', fault);
  if (dryRun) return join(folder, name);
  await mkdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw volumeError(error, `make ${folder}`);
  });
  return join(folder, name);
}

async function isFolder(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

interface VolumeContent {
  readonly volume: VolumeSnapshot;
  /** Of a file in a folder, which has a mode, an owner and times. */
  readonly entry: DirEntry | undefined;
  readonly opened: OpenRepository;
  readonly workers: FetchWorkers;
}

async function restoreVolume(
  context: CliContext,
  options: RestoreOptions,
  { volume, entry, opened, workers }: VolumeContent,
): Promise<ExitCode> {
  const { clock, rng, signal } = context;
  const { repository, store } = opened;
  const startedMs = clock.monotonicMs();
  const progress = context.progress();
  const request: RestoreRequest = {
    ...options,
    volume,
    stateDirectory: join(context.cacheDirectory(), 'restores'),
    store,
    parallel: workersOf(options),
    workers,
    onProgress: (counts, totalBytes) =>
      progress.update({ phase: 'restore', doneBytes: counts.doneBytes, totalBytes, storedBytes: counts.writtenBytes }),
    signal,
  };
  if (options.dryRun) {
    const plan = await planRestore(request);
    const value = { snapshot: volume.snapshot.id, target: plan.path, way: plan.way, sizeBytes: volume.sizeBytes };
    const would = `${plan.way}, ${formatSize(volume.sizeBytes)} to ${plan.path}`;
    await context.output.record({ ...value, dryRun: true }, { names: [plan.path], fields: [['Would write', would]] });
    return exitCodes.done;
  }
  const { target, kind, counts, resumed } = await run({ repository, clock, rng }, request);
  progress.end();
  if (entry !== undefined && kind === 'file') await setAttributes(target, entry, options);
  const ms = clock.monotonicMs() - startedMs;
  const value = {
    snapshot: volume.snapshot.id,
    target,
    kind,
    sizeBytes: volume.sizeBytes,
    resumed,
    fetchedBytes: counts.fetchedBytes,
    packedBytes: counts.packedBytes,
    writtenBytes: counts.writtenBytes,
    zeroBytes: counts.zeroBytes,
    requests: opened.requests(),
    durationMs: Math.round(ms),
  };
  await context.output.record(value, {
    names: [target],
    fields: [
      ['Restored', `${volume.snapshot.id} to ${target}`],
      ['Size', `${formatSize(volume.sizeBytes)}, ${formatSize(counts.zeroBytes)} of it holes`],
      ['Fetched', `${formatSize(counts.fetchedBytes)} from ${formatSize(counts.packedBytes)} in the repository`],
      ['Written', `${formatSize(counts.writtenBytes)}, verified and on disk, in ${formatDuration(ms)}`],
      ['Requests', requestsText(opened.requests())],
      ...(resumed ? [['Resumed', 'went on from an interrupted restore'] as const] : []),
    ],
  });
  return exitCodes.done;
}

async function setAttributes(path: string, entry: DirEntry, { owners }: RestoreOptions): Promise<void> {
  await using file = await open(path, 'r+');
  applyAttributes(file.fd, attributesOf(entry, { owners: owners && process.geteuid?.() === 0 }));
  await file.sync();
}
