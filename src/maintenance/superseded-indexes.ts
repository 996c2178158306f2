/** Removes index blobs that have been merged hours ago (Kopia CleanupSupersededIndexes). */
import { formatGoTime, nanosecondsFromMs } from '../std/go-time.ts';
import { jsonObject } from '../std/lossless-json.ts';
import { supersededBlobs } from './epoch-plans.ts';
import type { EpochView } from './epoch-view.ts';
import { removeBlobs } from './remove-blobs.ts';
import type { TaskContext, TaskOutcome } from './task.ts';

const kind = 'cleanupSupersededIndexesStats';

export async function deleteSuperseded(context: TaskContext, view: EpochView): Promise<TaskOutcome> {
  const { repository, dryRun, signal } = context;
  const { blobs, replacedBeforeMs } = supersededBlobs(view, repository.opened.format.epochs);
  const { removed, refused } = await removeBlobs(repository.store, blobs, { dryRun, signal });
  const data =
    replacedBeforeMs === undefined
      ? null
      : jsonObject({
          maxReplacementTime: formatGoTime(nanosecondsFromMs(replacedBeforeMs)),
          deletedBlobCount: removed.count,
          deletedTotalSize: removed.bytes,
        });
  return { extra: { kind, data }, summary: `${blobs.length} index blobs that have long been merged`, removed, refused };
}
