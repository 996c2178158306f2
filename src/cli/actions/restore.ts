import { join } from 'node:path';

import { resolveSnapshot } from '../../repository/manifest/snapshot.ts';
import { openVolumeSnapshot } from '../../transfer/backup-parent.ts';
import { fetchWorkers } from '../../transfer/fetch-messages.ts';
import { planRestore, restore as run, type RestoreRequest } from '../../transfer/restore.ts';
import type { RestoreOptions } from '../restore.ts';
import { exitCodes } from '../shell/exit-code.ts';
import { formatDuration, formatSize } from '../shell/sizes.ts';
import { openRepository, workersOf, type RepositoryAction } from './open-repository.ts';

export const restore: RepositoryAction<RestoreOptions> = async (context, options, opening) => {
  const { clock, rng, signal } = context;
  const startedMs = clock.monotonicMs();
  // Threads load while the repository is opened.
  await using workers = fetchWorkers(workersOf(options));
  await using opened = await openRepository(context, opening);
  const { repository, store } = opened;
  const set = await repository.manifests.load({ signal });
  const volume = await openVolumeSnapshot(repository, resolveSnapshot(set, options.snapshot), { signal });
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
    durationMs: Math.round(ms),
  };
  await context.output.record(value, {
    names: [target],
    fields: [
      ['Restored', `${volume.snapshot.id} to ${target}`],
      ['Size', `${formatSize(volume.sizeBytes)}, ${formatSize(counts.zeroBytes)} of it holes`],
      ['Fetched', `${formatSize(counts.fetchedBytes)} from ${formatSize(counts.packedBytes)} in the repository`],
      ['Written', `${formatSize(counts.writtenBytes)}, verified and on disk, in ${formatDuration(ms)}`],
      ...(resumed ? [['Resumed', 'went on from an interrupted restore'] as const] : []),
    ],
  });
  return exitCodes.done;
};
