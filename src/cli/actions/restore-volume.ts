import type { StoreCounts } from '../../blobs/count.ts';
import type { VolumeSnapshot } from '../../transfer/backup-parent.ts';
import type { FetchWorkers } from '../../transfer/fetch-messages.ts';
import { restoreVolume as run, type PoolRestoreResult } from '../../transfer/pool-restore.ts';
import { formatSize } from '../../std/format-size.ts';
import type { RestoreOptions } from '../restore.ts';
import type { CliContext } from '../shell/cli-context.ts';
import { type ExitCode, exitCodes } from '../shell/exit-code.ts';
import { formatDuration } from '../shell/sizes.ts';
import { dropping, openPool } from './open-pool.ts';
import { requestsText, workersOf, type OpenRepository } from './open-repository.ts';

/** Of an image whose sectors nobody has recorded: what stands on 512 opens on nothing larger, the reverse works. */
const sectorBytesUnknown = 512;

/** A snapshot in the repository becomes a volume of the pool, or the content of one. */
export async function restoreToVolume(
  context: CliContext,
  options: RestoreOptions,
  { volume, opened, workers }: { volume: VolumeSnapshot; opened: OpenRepository; workers: FetchWorkers },
): Promise<ExitCode> {
  const { clock, rng } = context;
  const pool = openPool(context);
  const sectorBytes = options.sectorBytes ?? volume.tags.sectorBytes ?? sectorBytesUnknown;
  const overwrite = options.overwrite || options.delta;
  if (options.dryRun) {
    const way = pool.findVolume(options.target) === undefined ? 'new-volume' : 'replace-volume';
    const value = {
      snapshot: volume.snapshot.id,
      volume: options.target,
      way,
      sizeBytes: volume.sizeBytes,
      dryRun: true,
    };
    const would = `${way}, ${formatSize(volume.sizeBytes)} to volume ${options.target}`;
    await context.output.record(value, { names: [options.target], fields: [['Would write', would]] });
    return exitCodes.done;
  }
  const startedMs = clock.monotonicMs();
  const progress = context.progress();
  const result = await run(
    pool,
    { repository: opened.repository, clock, rng },
    {
      name: options.target,
      volume,
      overwrite,
      sectorBytes,
      stateDirectory: pool.layout.staging,
      store: opened.store,
      parallel: workersOf(options),
      workers,
      onProgress: (counts, totalBytes) =>
        progress.update({
          phase: 'restore',
          doneBytes: counts.doneBytes,
          totalBytes,
          storedBytes: counts.writtenBytes,
        }),
      ...dropping(context),
    },
  );
  progress.end();
  await print(context, options, { result, volume, requests: opened.requests(), ms: clock.monotonicMs() - startedMs });
  return exitCodes.done;
}

async function print(
  context: CliContext,
  options: RestoreOptions,
  {
    result,
    volume,
    requests,
    ms,
  }: { result: PoolRestoreResult; volume: VolumeSnapshot; requests: StoreCounts; ms: number },
): Promise<void> {
  const { counts, resumed, replaced } = result;
  const { sizeBytes, record } = result.volume;
  if (sizeBytes !== volume.sizeBytes) {
    context.log.info(`the image has ${volume.sizeBytes} bytes; the volume was filled up with zeros to whole blocks`);
  }
  const value = {
    snapshot: volume.snapshot.id,
    volume: options.target,
    replaced,
    sizeBytes,
    sectorBytes: record.sectorBytes,
    resumed,
    fetchedBytes: counts.fetchedBytes,
    packedBytes: counts.packedBytes,
    writtenBytes: counts.writtenBytes,
    zeroBytes: counts.zeroBytes,
    requests: requests,
    durationMs: Math.round(ms),
  };
  await context.output.record(value, {
    names: [options.target],
    fields: [
      ['Restored', `${volume.snapshot.id} to volume ${options.target}${replaced ? ', in place of what it held' : ''}`],
      ['Size', `${formatSize(sizeBytes)}, sectors of ${record.sectorBytes} bytes`],
      ['Fetched', `${formatSize(counts.fetchedBytes)} from ${formatSize(counts.packedBytes)} in the repository`],
      ['Written', `${formatSize(counts.writtenBytes)}, verified and on disk, in ${formatDuration(ms)}`],
      ['Requests', requestsText(requests)],
      ...(resumed ? [['Resumed', 'went on from an interrupted restore'] as const] : []),
    ],
  });
}
