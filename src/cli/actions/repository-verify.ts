import { listSnapshots, resolveSnapshot } from '../../repository/manifest/snapshot.ts';
import { verify, type Unsupported, type VerifyResult } from '../../transfer/verify.ts';
import { formatSize } from '../../std/format-size.ts';
import type { CliContext } from '../shell/cli-context.ts';
import { exitCodes } from '../shell/exit-code.ts';
import type { RepositoryVerifyOptions } from '../repository-verify.ts';
import { openRepository, workersOf, type RepositoryAction } from './open-repository.ts';

/** Places that the table shows; `-o json` has all. */
const shownMax = 50;

export const repositoryVerify: RepositoryAction<RepositoryVerifyOptions> = async (context, options, opening) => {
  const { signal, rng } = context;
  await using opened = await openRepository(context, opening);
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
  warnOf(result, context);
  const { unsupported, wavering, mended } = result;
  const whole = problems.length === 0 && damaged.length === 0;
  const { packs, contents, readBytes } = result;
  const { level, sample } = options;
  const counts = { snapshots: snapshots.length, packs, contents, readBytes };
  const value = {
    whole,
    level,
    sample,
    ...counts,
    problems,
    wavering,
    mended,
    damaged,
    unsupported,
    requests: opened.requests(),
  };
  const fields: [string, string][] = [
    ['Verified', `${snapshots.length} snapshots, level ${level}${sample < 1 ? `, a sample of ${sample * 100} %` : ''}`],
    ...(level === 'data'
      ? [['Read', `${contents} contents in ${packs} packs, ${formatSize(readBytes)}`] as [string, string]]
      : []),
    ...problems.slice(0, shownMax).map(({ what, reason }): [string, string] => ['Problem', `${what}: ${reason}`]),
    ...damaged.slice(0, shownMax).map((place): [string, string] => ['Damaged', placeText(place)]),
    ...unsupported.map((each): [string, string] => [
      'Unsupported',
      `${each.what}: ${countOf(each)} cannot be checked by this version`,
    ]),
    ['Result', whole ? wholeAs(unsupported) : `${problems.length} problems, ${damaged.length} damaged places`],
  ];
  const names = [...new Set(damaged.map(({ snapshot }) => snapshot))];
  await context.output.record(value, { names, fields });
  return whole ? exitCodes.done : exitCodes.damaged;
};

function wholeAs(unsupported: readonly Unsupported[]): string {
  return unsupported.length === 0 ? 'whole' : 'no damage in what could be checked';
}

function countOf({ contents, lists }: Unsupported): string {
  const counts = [contents > 0 ? `${contents} contents` : '', lists > 0 ? `what ${lists} lists or folders name` : ''];
  return counts.filter((count) => count !== '').join(', and ');
}

function storedBytes(entries: Iterable<{ readonly packedLength: number }>): number {
  let bytes = 0;
  for (const { packedLength } of entries) bytes += packedLength;
  return bytes;
}

/** What is no failure yet. */
function warnOf(result: VerifyResult, context: CliContext): void {
  for (const each of result.unsupported) {
    context.log.warn(`${countOf(each)} could not be checked: this version does not support ${each.what}`);
  }
  for (const { what, reason } of result.wavering.slice(0, shownMax)) {
    context.log.warn(
      `${what} was damaged when it was first read, and whole the second time (${reason}): check disk and memory`,
    );
  }
  if (result.mended.length > 0) {
    context.log.warn(
      `${result.mended.length} contents are damaged, and whole thanks to error correction: check the disk, and copy the repository to another`,
    );
  }
}

function placeText(place: {
  readonly snapshot: string;
  readonly path: string;
  readonly offset: number;
  readonly length: number;
  readonly reason: string;
}): string {
  return `snapshot ${place.snapshot} ${place.path} ${place.offset}+${place.length}: ${place.reason}`;
}
