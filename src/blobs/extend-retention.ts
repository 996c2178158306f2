/**
 * Keeping what is locked locked: without it, blobs that are still needed lose their locks one after the other when their
 * period has passed. Any part of it may be repeated; one that was interrupted has extended some, and the next run does the rest.
 */
import { hasCode } from '../std/dray-error.ts';
import { mapConcurrent } from '../std/map-concurrent.ts';
import { BlobError, type BlobId, type BlobStore } from './blob-store.ts';
import type { LockOptions } from './lock.ts';

/** Requests under way at once. */
const requestsMax = 16;
/** Failures that are told one by one; the others are counted. */
const toldMax = 20;

export interface RetentionExtended {
  readonly extended: number;
  readonly failed: number;
  /** The first of them. */
  readonly failures: readonly { readonly id: BlobId; readonly error: BlobError }[];
}

/**
 * Locks every blob under the prefixes for the whole period from now on. One that cannot be extended does not keep the others
 * from it, and one that was removed meanwhile needs nothing; memory does not grow with their number.
 * @throws {BlobError} `blob-no-lock` when the store cannot lock at all, and what ends a listing
 */
export async function extendRetention(
  store: BlobStore,
  { prefixes, retention }: LockOptions,
  { signal }: { readonly signal: AbortSignal },
): Promise<RetentionExtended> {
  let extended = 0;
  let failed = 0;
  const failures: { readonly id: BlobId; readonly error: BlobError }[] = [];
  for (const prefix of prefixes) {
    const blobs = store.list(prefix, { signal });
    const results = mapConcurrent(blobs, { limit: requestsMax, signal }, async ({ id }, within) => {
      try {
        await store.extendRetention(id, retention, within);
        extended += 1;
      } catch (error) {
        if (hasCode(error, 'blob-not-found')) return;
        if (!(error instanceof BlobError) || hasCode(error, 'blob-no-lock')) throw error;
        failed += 1;
        if (failures.length < toldMax) failures.push({ id, error });
      }
    });
    // oxlint-disable-next-line no-unused-vars
    for await (const _ of results);
  }
  return { extended, failed, failures };
}
