/**
 * Which index blobs to merge and to remove, and when an epoch ends (Kopia `internal/epoch`). Pure. Times are those of
 * the store; nothing here asks a clock.
 */
import type { BlobMetadata } from '../blobs/blob-store.ts';
import type { EpochParameters } from '../repository/format/content-format.ts';
import { activeIndexBlobs, epochOf, unsettledEpochs, type EpochState } from '../repository/index/epochs.ts';
import { latestMs, metadataOf, storageNowMs, type EpochView } from './epoch-view.ts';

/** The oldest epoch that is not merged, if it is settled: two newer ones have begun. */
export function settledEpoch({
  writeEpoch,
  ranges,
  compacted,
}: Pick<EpochState, 'writeEpoch' | 'ranges' | 'compacted'>): number | undefined {
  const last = ranges.at(-1);
  let epoch = last === undefined ? 0 : last.last + 1;
  while (compacted.has(epoch)) epoch++;
  return epoch <= writeEpoch - unsettledEpochs ? epoch : undefined;
}

/** Whether an epoch has lasted long enough, from its first blob to its last, and has come to enough blobs or bytes. */
export function shouldAdvance(
  blobs: readonly BlobMetadata[],
  {
    minEpochDurationMs,
    advanceOnCount,
    advanceOnTotalSizeBytes,
  }: Pick<EpochParameters, 'minEpochDurationMs' | 'advanceOnCount' | 'advanceOnTotalSizeBytes'>,
): boolean {
  const last = latestMs(blobs);
  if (last === undefined) return false;
  const first = blobs.reduce((least, { timestampMs }) => Math.min(least, timestampMs), last);
  if (last - first < minEpochDurationMs) return false;
  const bytes = blobs.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
  return blobs.length >= advanceOnCount || bytes >= advanceOnTotalSizeBytes;
}

export interface EpochSpan {
  readonly first: number;
  /** Inclusive. */
  readonly last: number;
}

/** The settled epochs behind the merged ranges, when there are enough of them. */
export function rangeToMerge(
  { writeEpoch, ranges }: Pick<EpochState, 'writeEpoch' | 'ranges'>,
  { fullCheckpointFrequency }: Pick<EpochParameters, 'fullCheckpointFrequency'>,
): EpochSpan | undefined {
  const last = writeEpoch - unsettledEpochs;
  const first = (ranges.at(-1)?.last ?? -1) + 1;
  return last < 0 || last - first < fullCheckpointFrequency ? undefined : { first, last };
}

/** The blobs that are the index of these epochs. */
export function blobsOfSpan(view: EpochView, { first, last }: EpochSpan): BlobMetadata[] {
  const within = <T>(byEpoch: ReadonlyMap<number, T>): Map<number, T> =>
    new Map([...byEpoch].filter(([epoch]) => epoch >= first && epoch <= last));
  const { compacted, flushed } = view;
  const span = { ...view, ranges: [], compacted: within(compacted), flushed: within(flushed) };
  return metadataOf(view, activeIndexBlobs(span));
}

/** Markers of epochs before the last, and deletion watermarks that a later one has replaced hours ago. */
export function markersToRemove(
  view: EpochView,
  { cleanupSafetyMarginMs }: Pick<EpochParameters, 'cleanupSafetyMarginMs'>,
): { readonly epochMarkers: readonly BlobMetadata[]; readonly watermarks: readonly BlobMetadata[] } {
  const nowMs = storageNowMs(view);
  if (nowMs === undefined) return { epochMarkers: [], watermarks: [] };
  const all = [...view.blobs.values()];
  const epochMarkers = all.filter(({ id }) => id.startsWith('xe') && (epochOf(id) ?? Infinity) < view.writeEpoch - 1);
  const watermarks = all.filter(({ id, timestampMs }) => {
    const seconds = /^xw([0-9]+)$/.exec(id)?.[1];
    if (seconds === undefined || Number(seconds) === view.deletionWatermarkSeconds) return false;
    return timestampMs < nowMs - cleanupSafetyMarginMs;
  });
  return { epochMarkers, watermarks };
}

export interface Superseded {
  readonly blobs: readonly BlobMetadata[];
  /** Sets put before this have been seen by everybody, Unix milliseconds; undefined when nobody can tell. */
  readonly replacedBeforeMs: number | undefined;
}

/** Flushed blobs of epochs whose merged set has been there for hours. */
export function supersededBlobs(
  view: EpochView,
  { cleanupSafetyMarginMs }: Pick<EpochParameters, 'cleanupSafetyMarginMs'>,
): Superseded {
  const nowMs = storageNowMs(view);
  if (nowMs === undefined) return { blobs: [], replacedBeforeMs: undefined };
  const replacedBeforeMs = nowMs - cleanupSafetyMarginMs;
  const isOld = (epoch: number): boolean => {
    const putMs = latestMs(metadataOf(view, view.compacted.get(epoch) ?? []));
    return putMs !== undefined && putMs < replacedBeforeMs;
  };
  const blobs = [...view.flushed].filter(([epoch]) => isOld(epoch)).flatMap(([, ids]) => metadataOf(view, ids));
  return { blobs, replacedBeforeMs };
}
