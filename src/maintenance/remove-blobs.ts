/** Removing blobs: what the store refuses (a lock, an append-only place) is told, and not tried again in this run. */
import type { BlobMetadata, BlobStore } from '../blobs/blob-store.ts';
import { hasCode } from '../std/dray-error.ts';
import { mapConcurrent } from '../std/map-concurrent.ts';
import { Sum, type Refused, type Tally } from './task.ts';

const removalsMax = 16;

export interface Removal {
  readonly removed: Tally;
  readonly refused: Refused | undefined;
}

/** @throws {BlobError} for what is no refusal; what was removed before stays removed */
export async function removeBlobs(
  store: BlobStore,
  blobs: Iterable<Pick<BlobMetadata, 'id' | 'lengthBytes'>>,
  { dryRun, signal }: { readonly dryRun: boolean; readonly signal: AbortSignal },
): Promise<Removal> {
  const removed = new Sum();
  let refused: Refused | undefined;
  const remove = async ({ id, lengthBytes }: Pick<BlobMetadata, 'id' | 'lengthBytes'>): Promise<void> => {
    try {
      if (!dryRun) await store.remove(id, { signal });
      removed.add(lengthBytes);
    } catch (error) {
      if (!hasCode(error, 'blob-denied') && !hasCode(error, 'blob-locked')) throw error;
      refused = { count: (refused?.count ?? 0) + 1, reason: refused?.reason ?? error.message };
    }
  };
  for await (const _ of mapConcurrent(blobs, { limit: removalsMax, signal }, remove));
  return { removed, refused };
}
