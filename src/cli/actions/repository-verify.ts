import { listSnapshots, resolveSnapshot } from '../../repository/manifest/snapshot.ts';
import { verify } from '../../transfer/verify.ts';
import type { Action } from '../command.ts';
import { exitCodes } from '../shell/exit-code.ts';
import { formatSize } from '../shell/sizes.ts';
import type { RepositoryVerifyOptions } from '../repository-verify.ts';
import { openRepository, workersOf } from './open-repository.ts';

/** Places that the table shows; `-o json` has all. */
const shownMax = 50;

export const repositoryVerify: Action<RepositoryVerifyOptions> = async (context, options) => {
  const { signal, rng } = context;
  await using opened = await openRepository(context, options);
  const { repository, store } = opened;
  const set = await repository.manifests.load({ signal });
  const all = listSnapshots(set);
  const onlyThese = options.snapshots.length > 0;
  const snapshots = onlyThese ? options.snapshots.map((id) => resolveSnapshot(set, id)) : all.snapshots;
  const totalBytes = onlyThese ? 0 : storedBytes(repository.index.entries()) * options.sample;
  const progress = context.progress();
  const result = await verify(repository, {
    snapshots,
    onlyThese,
    level: options.level,
    sample: options.sample,
    store,
    parallel: workersOf(options),
    rng,
    onProgress: (doneBytes) => progress.update({ phase: 'verify', doneBytes, totalBytes }),
    signal,
  });
  progress.end();
  const unreadable = onlyThese ? [] : all.damaged;
  const problems = [
    ...unreadable.map(({ id, error }) => ({ what: `snapshot manifest ${id}`, reason: error.message })),
    ...result.problems,
  ];
  const damaged = result.damaged.map(({ snapshot, path, extent, reason }) => ({
    snapshot,
    path,
    offset: extent.offset,
    length: extent.lengthBytes,
    reason,
  }));
  const whole = problems.length === 0 && damaged.length === 0;
  const { packs, contents, readBytes } = result;
  const { level, sample } = options;
  const value = { whole, level, sample, snapshots: snapshots.length, packs, contents, readBytes, problems, damaged };
  const fields: [string, string][] = [
    ['Verified', `${snapshots.length} snapshots, level ${level}${sample < 1 ? `, a sample of ${sample * 100} %` : ''}`],
    ...(level === 'data'
      ? [['Read', `${contents} contents in ${packs} packs, ${formatSize(readBytes)}`] as [string, string]]
      : []),
    ...problems.slice(0, shownMax).map(({ what, reason }): [string, string] => ['Problem', `${what}: ${reason}`]),
    ...damaged
      .slice(0, shownMax)
      .map((place): [string, string] => [
        'Damaged',
        `snapshot ${place.snapshot} ${place.path} ${place.offset}+${place.length}: ${place.reason}`,
      ]),
    ['Result', whole ? 'whole' : `${problems.length} problems, ${damaged.length} damaged places`],
  ];
  const names = [...new Set(damaged.map(({ snapshot }) => snapshot))];
  await context.output.record(value, { names, fields });
  return whole ? exitCodes.done : exitCodes.damaged;
};

function storedBytes(entries: Iterable<{ readonly deleted: boolean; readonly packedLength: number }>): number {
  let bytes = 0;
  for (const { deleted, packedLength } of entries) if (!deleted) bytes += packedLength;
  return bytes;
}
