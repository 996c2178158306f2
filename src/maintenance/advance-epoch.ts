/**
 * Begins a new epoch when the present one is full (Kopia `epoch_advance.go`). The marker is all there is to it: two
 * maintainers that begin the same epoch write the same blob.
 */
import { blobId } from '../blobs/blob-store.ts';
import { jsonObject } from '../std/lossless-json.ts';
import { shouldAdvance } from './epoch-plans.ts';
import { metadataOf, type EpochView } from './epoch-view.ts';
import type { TaskContext, TaskOutcome } from './task.ts';

export async function advanceEpoch(context: TaskContext, view: EpochView): Promise<TaskOutcome> {
  const { repository, dryRun, signal } = context;
  const { writeEpoch } = view;
  const blobs = metadataOf(view, view.flushed.get(writeEpoch) ?? []);
  const wasAdvanced = shouldAdvance(blobs, repository.opened.format.epochs);
  const currentEpoch = writeEpoch + (wasAdvanced ? 1 : 0);
  if (wasAdvanced && !dryRun) {
    await repository.store.put(blobId(`xe${currentEpoch}`), Buffer.from('epoch-marker'), { signal });
  }
  const data = jsonObject({ currentEpoch, wasAdvanced });
  const summary = wasAdvanced
    ? `epoch ${currentEpoch} begins`
    : `epoch ${writeEpoch} goes on, with ${blobs.length} index blobs`;
  return { extra: { kind: 'advanceEpochStats', data }, summary };
}
