/**
 * Merges a run of settled epochs into one set (Kopia `epoch_manager.go` MaybeGenerateRangeCheckpoint), so that opening
 * an old repository reads few blobs. Nothing is removed. A crash leaves an incomplete set, which nobody looks at.
 */
import { sealAsSet } from '../repository/index/compact-blobs.ts';
import { jsonObject } from '../std/lossless-json.ts';
import { blobsOfSpan, rangeToMerge } from './epoch-plans.ts';
import type { EpochView } from './epoch-view.ts';
import { requireValid } from './validity.ts';
import type { TaskContext, TaskOutcome } from './task.ts';

const kind = 'generateRangeCheckpointStats';

export async function mergeRange(context: TaskContext, view: EpochView): Promise<TaskOutcome> {
  const { repository, clock, rng, dryRun, signal } = context;
  const span = rangeToMerge(view, repository.opened.format.epochs);
  if (span === undefined) return { extra: { kind, data: null }, summary: 'too few settled epochs to merge' };
  const { first, last } = span;
  const blobs = blobsOfSpan(view, span);
  const check = (): void => requireValid(view.validity, clock);
  const lengthBytes = new Map(blobs.map((blob) => [blob.id, blob.lengthBytes]));
  const ids = blobs.map(({ id }) => id);
  const seal = sealAsSet(`xr${first}_${last}_`, rng);
  if (!dryRun) await repository.index.compact(ids, { seal, lengthBytes, check, signal });
  const data = jsonObject({ rangeMinEpoch: first, rangeMaxEpoch: last });
  return { extra: { kind, data }, summary: `${blobs.length} index blobs of epochs ${first} to ${last} become one set` };
}
