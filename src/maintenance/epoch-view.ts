/**
 * The blobs of the index with their times, for the tasks that merge and remove them. The newest epoch is read first and
 * the flushed blobs after it: a writer takes back what it has put into an epoch when two newer ones have begun by then,
 * so an epoch that was settled before the listing is listed whole. In one listing, a store that tells the epochs last
 * could call an epoch settled whose last blob it has not shown.
 */
import type { BlobId, BlobMetadata, BlobStore } from '../blobs/blob-store.ts';
import type { EpochParameters } from '../repository/format/content-format.ts';
import { epochOf, epochState, type EpochState } from '../repository/index/epochs.ts';
import type { Clock } from '../std/clock.ts';
import { validFor, type Validity } from './validity.ts';

export interface EpochView extends EpochState {
  /** All whose name begins with `x`. */
  readonly blobs: ReadonlyMap<BlobId, BlobMetadata>;
  /** After which nothing may be decided by it. */
  readonly validity: Validity;
}

/** For repositories whose parameters say nothing. */
const refreshDefaultMs = 20 * 60 * 1000;

export async function readEpochView(
  store: BlobStore,
  { epochs, clock, signal }: { readonly epochs: EpochParameters; readonly clock: Clock; readonly signal: AbortSignal },
): Promise<EpochView> {
  const refreshMs = epochs.refreshFrequencyMs > 0 ? epochs.refreshFrequencyMs : refreshDefaultMs;
  const validity = validFor(refreshMs, clock);
  let writeEpoch = 0;
  for await (const { id } of store.list('xe', { signal })) writeEpoch = Math.max(writeEpoch, epochOf(id) ?? 0);
  const blobs = new Map<BlobId, BlobMetadata>();
  for await (const blob of store.list('x', { signal })) blobs.set(blob.id, blob);
  return { ...epochState([...blobs.keys()]), writeEpoch, blobs, validity };
}

/** What the view says of these blobs. */
export function metadataOf({ blobs }: EpochView, ids: Iterable<BlobId>): BlobMetadata[] {
  return [...ids].map((id) => blobs.get(id)).filter((blob) => blob !== undefined);
}

/** The latest time of these, Unix milliseconds; undefined when there are none. */
export function latestMs(blobs: readonly BlobMetadata[]): number | undefined {
  return blobs.reduce<number | undefined>(
    (latest, { timestampMs }) => Math.max(latest ?? timestampMs, timestampMs),
    undefined,
  );
}

/**
 * The store's time as its newest index blobs tell it: the latest of those in the epochs that are being written (Kopia
 * `maxCleanupTime`). Undefined when there are none; then nothing is old.
 */
export function storageNowMs(view: EpochView): number | undefined {
  const { writeEpoch, flushed } = view;
  const recent = [writeEpoch - 1, writeEpoch, writeEpoch + 1].flatMap((epoch) => flushed.get(epoch) ?? []);
  return latestMs(metadataOf(view, recent));
}
