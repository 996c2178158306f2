/** All that a blob store promises: what each implementation and each layer is tested with, and `dray store check` tries. */
import { listingPromises } from './listing.ts';
import { readingPromises } from './reading.ts';
import type { StorePromise } from './store-promise.ts';
import { uploadPromises } from './uploads.ts';
import { writingPromises } from './writing.ts';

export const storeContract: readonly StorePromise[] = [
  ...readingPromises,
  ...writingPromises,
  ...uploadPromises,
  ...listingPromises,
];
