import type { Clock } from '../std/clock.ts';
import type { Rng } from '../std/rng.ts';
import type { BlobStore } from './blob-store.ts';
import { DirectoryStore } from './directory/directory-store.ts';
import { FaultStore } from './fault.ts';
import type { BlobStoreLocation } from './location.ts';
import { RateStore } from './rate.ts';
import { RetryStore } from './retry.ts';

export interface OpenBlobStoreOptions {
  /** Make the store where there is none; without it a missing one is `blob-not-found`. */
  readonly create?: boolean | undefined;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly rng: Rng;
}

/**
 * Opens a store with the layers that its location names: faults innermost, then the rate (each attempt costs), then
 * retries. Disposing of the result closes all of it.
 * @throws {BlobError}
 */
export async function openBlobStore(
  location: BlobStoreLocation,
  { create = false, signal, clock, rng }: OpenBlobStoreOptions,
): Promise<BlobStore> {
  let store: BlobStore = await DirectoryStore.open(location.path, { create, signal, clock, rng });
  if (location.fault !== undefined) store = new FaultStore({ store, clock }, location.fault);
  if (location.rate !== undefined) store = new RateStore({ store, clock }, location.rate);
  if (location.retry !== undefined) store = new RetryStore({ store, clock, rng }, location.retry);
  return store;
}
