import type { Clock } from '../std/clock.ts';
import type { Rng } from '../std/rng.ts';
import type { BlobStore } from './blob-store.ts';
import { CountStore } from './count.ts';
import { DirectoryStore } from './directory/directory-store.ts';
import { FaultStore } from './fault.ts';
import { HedgeStore } from './hedge.ts';
import type { BlobStoreLocation } from './location.ts';
import { LockStore } from './lock.ts';
import { RateStore } from './rate.ts';
import { RetryStore } from './retry.ts';

export interface OpenBlobStoreOptions {
  /** Make the directory where there is none; without it a missing one is `blob-not-found`. Buckets are never made. */
  readonly create?: boolean | undefined;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly rng: Rng;
}

/**
 * Opens a store with the layers that its location names: faults innermost, then counts (each request costs), second reads,
 * the rate, then retries, then locks. Disposing of the result closes all of it.
 * @throws {BlobError}
 */
export async function openBlobStore(location: BlobStoreLocation, options: OpenBlobStoreOptions): Promise<BlobStore> {
  const { clock, rng } = options;
  let store = await openBare(location, options);
  if (location.fault !== undefined) store = new FaultStore({ store, clock }, location.fault);
  if (location.count !== undefined) store = new CountStore(store, location.count);
  if (location.hedge !== undefined) {
    store = new HedgeStore({ store, clock, counts: location.count?.counts }, location.hedge);
  }
  if (location.rate !== undefined) store = new RateStore({ store, clock }, location.rate);
  if (location.retry !== undefined) store = new RetryStore({ store, clock, rng }, location.retry);
  if (location.lock !== undefined) store = new LockStore(store, location.lock);
  return store;
}

async function openBare(location: BlobStoreLocation, options: OpenBlobStoreOptions): Promise<BlobStore> {
  if (location.kind === 'directory') return await DirectoryStore.open(location.path, options);
  // Loaded when it is needed: most of it is for S3 alone.
  const { S3Store } = await import('./s3/s3-store.ts');
  return await S3Store.open(location, options);
}
