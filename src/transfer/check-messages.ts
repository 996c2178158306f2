/** What the main thread asks of a check worker (`check-worker.ts`): is this pack what the index says it is? */
import type { BlobId } from '../blobs/blob-store.ts';
import type { BlobStoreLocation } from '../blobs/location.ts';
import type { ContentFormat } from '../repository/format/content-format.ts';
import type { IndexEntry } from '../repository/index/index-entry.ts';

/** A worker holds one whole pack at a time, and reads the next meanwhile. */
export const checkTasksPerWorker = 2;

export interface CheckWorkerData {
  readonly store: BlobStoreLocation;
  readonly format: ContentFormat;
}

export interface CheckTask {
  readonly blob: BlobId;
  /** As listed; undefined when the listing did not have it. */
  readonly lengthBytes: number | undefined;
  /** The contents that the index places in this pack; those to be opened and hashed. */
  readonly entries: readonly IndexEntry[];
}

export interface PackChecked {
  readonly readBytes: number;
  /** Contents that cannot be read whole. */
  readonly damaged: readonly { readonly contentId: string; readonly reason: string }[];
  /** Contents that can be read, but are not stored as they were written: error correction has mended them, or needs mending. */
  readonly mended: readonly string[];
  /** How many contents use what this version does not support, by its name. They are authentic, and not hashed. */
  readonly unsupported: ReadonlyMap<string, number>;
  /** What is wrong with the pack itself: missing, or its own index or postamble damaged. */
  readonly problem: string | undefined;
}
