/** What the main thread asks of a fetch worker (`fetch-worker.ts`), and what comes back. All of it is structured-clonable. */
import type { BlobStoreLocation } from '../blobs/location.ts';
import type { ContentId } from '../repository/content/content-id.ts';
import type { ContentFormat } from '../repository/format/content-format.ts';
import type { IndexLookupLocation } from '../repository/index/index-lookup.ts';
import { WorkerGroup } from '../std/worker-group.ts';
import type { TargetLocation } from '../volume/block-target.ts';

/** Bytes of the volume that one task covers, unless a single foreign chunk is larger. */
export const fetchTaskBytes: number = 4 * 1024 * 1024;
export const fetchTasksPerWorker = 3;

export interface FetchWorkerData {
  readonly store: BlobStoreLocation;
  readonly format: ContentFormat;
  readonly index: IndexLookupLocation;
  readonly target: TargetLocation;
  /** Where the volume ends; bytes of a padded last chunk beyond it are checked and not written. */
  readonly sizeBytes: number;
}

/** A chunk of the volume, in the order of its offsets; the chunks of a task touch each other. */
export interface FetchLeaf {
  readonly offset: number;
  readonly lengthBytes: number;
  readonly contentId: ContentId;
}

/**
 * Fetch the leaves, check them against their ids, write them; `delta` compares what the target holds with the ids first and
 * fetches only what differs. Answer: Fetched, or `gone`: the index, as the worker knows it, leads to nothing, and nothing
 * was written. With `again`, what is gone is damage.
 */
export interface LeavesTask {
  readonly kind: 'fetch' | 'delta';
  readonly leaves: readonly FetchLeaf[];
  readonly again?: boolean;
}

export type FetchTask =
  | LeavesTask
  /** The index was loaded anew: look there from now on. The tables of before are not used any more when this is answered. */
  | { readonly kind: 'index'; readonly index: IndexLookupLocation }
  /** Make this range of the target read as zeros; with `compare`, write only where it does not. Answer: Fetched. */
  | { readonly kind: 'zero'; readonly offset: number; readonly lengthBytes: number; readonly compare: boolean };

export interface Fetched {
  readonly fetchedBytes: number;
  /** Bytes as stored: what was read from the repository. */
  readonly packedBytes: number;
  readonly writtenBytes: number;
}

/** Undefined is the answer to `index`. */
export type FetchAnswer = Fetched | 'gone' | undefined;

export type FetchWorkers = WorkerGroup<FetchTask, FetchAnswer>;

/** Threads that begin to load; a restore takes them over, or whoever made them closes them. */
export function fetchWorkers(workers: number): FetchWorkers {
  const module = new URL(`./fetch-worker${import.meta.url.slice(-3)}`, import.meta.url);
  return new WorkerGroup({ module, workers, tasksPerWorker: fetchTasksPerWorker });
}
