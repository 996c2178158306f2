/** Removes markers of epochs and deletion watermarks that later ones have replaced (Kopia CleanupMarkers). */
import { jsonObject } from '../std/lossless-json.ts';
import { markersToRemove } from './epoch-plans.ts';
import { storageNowMs, type EpochView } from './epoch-view.ts';
import { removeBlobs } from './remove-blobs.ts';
import type { TaskContext, TaskOutcome } from './task.ts';

const kind = 'cleanupMarkersStats';

export async function cleanupMarkers(context: TaskContext, view: EpochView): Promise<TaskOutcome> {
  const { repository, dryRun, signal } = context;
  const { epochMarkers, watermarks } = markersToRemove(view, repository.opened.format.epochs);
  const { removed, refused } = await removeBlobs(repository.store, [...epochMarkers, ...watermarks], {
    dryRun,
    signal,
  });
  const data = jsonObject({
    deletedEpochMarkerBlobCount: epochMarkers.length,
    deletedWatermarkBlobCount: watermarks.length,
  });
  const summary = `${epochMarkers.length} markers of past epochs, ${watermarks.length} past deletion watermarks`;
  return { extra: { kind, data: storageNowMs(view) === undefined ? null : data }, summary, removed, refused };
}
