/**
 * Merges the index blobs of the oldest settled epoch that is not merged yet (Kopia `epoch_manager.go`
 * MaybeCompactSingleEpoch). One epoch per run. Nothing is removed: until the merged set has been there for hours, others
 * read the old blobs. A crash leaves an incomplete set, which nobody looks at.
 */
import { sealAsSet } from '../repository/index/compact-blobs.ts';
import { jsonObject } from '../std/lossless-json.ts';
import { settledEpoch } from './epoch-plans.ts';
import { metadataOf, type EpochView } from './epoch-view.ts';
import { requireValid } from './validity.ts';
import { Sum, type TaskContext, type TaskOutcome } from './task.ts';

const kind = 'compactSingleEpochStats';

export async function compactEpoch(context: TaskContext, view: EpochView): Promise<TaskOutcome> {
  const { repository, clock, rng, dryRun, signal } = context;
  const epoch = settledEpoch(view);
  if (epoch === undefined) return { extra: { kind, data: null }, summary: 'no epoch is settled and not merged yet' };
  const blobs = metadataOf(view, view.flushed.get(epoch) ?? []);
  const sum = new Sum();
  for (const { lengthBytes } of blobs) sum.add(lengthBytes);
  const check = (): void => requireValid(view.validity, clock);
  const lengthBytes = new Map(blobs.map((blob) => [blob.id, blob.lengthBytes]));
  const ids = blobs.map(({ id }) => id);
  const seal = sealAsSet(`xs${epoch}_`, rng);
  if (!dryRun) await repository.index.compact(ids, { seal, lengthBytes, check, signal });
  const data = jsonObject({
    supersededIndexBlobCount: sum.count,
    supersededIndexTotalSize: sum.bytes,
    epoch,
  });
  return { extra: { kind, data }, summary: `the ${sum.count} index blobs of epoch ${epoch} become one set` };
}
