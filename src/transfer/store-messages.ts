/** What the main thread asks of a store worker (`store-worker.ts`), and what comes back. All of it is structured-clonable. */
import type { BlobStoreLocation } from '../blobs/location.ts';
import type { CompressorName } from '../repository/content/compression.ts';
import type { ContentFormat } from '../repository/format/content-format.ts';
import type { IndexEntry } from '../repository/index/index-entry.ts';
import type { IndexLookupLocation } from '../repository/index/index-lookup.ts';
import { WorkerGroup } from '../std/worker-group.ts';
import type { SourceLocation } from '../volume/block-source.ts';
import type { Extent } from '../volume/extent.ts';
import type { ClaimMemory } from './claim-table.ts';

/** Most bytes that one task covers: a multiple of the leaf. Each answer wakes the main thread, so not too few. */
export const taskBytes: number = 8 * 1024 * 1024;
/** Tasks a worker holds: one being worked on, the next at hand. */
export const tasksPerWorker = 2;

export interface StoreWorkerData {
  readonly source: SourceLocation;
  readonly store: BlobStoreLocation;
  readonly format: ContentFormat;
  readonly compressor: CompressorName;
  readonly index: IndexLookupLocation;
  readonly claims: ClaimMemory;
  readonly sessionId: string;
  readonly leafBytes: number;
  /** Pad a short last leaf with zeros to a whole one (the flat layout). */
  readonly padTail: boolean;
  /** How many there are: they share the memory of the run. */
  readonly workers: number;
}

export type StoreTask =
  /** Make contents of these extents of the source, each of whole leaves unless it ends the volume. Answer: StoredLeaves. */
  | { readonly kind: 'store'; readonly extents: readonly Extent[] }
  /** End the open pack; answer when all is durable and reported. */
  | { readonly kind: 'seal'; readonly generation: number }
  /** The index has grown: look there from now on. */
  | { readonly kind: 'index'; readonly index: IndexLookupLocation };

/** The leaves of a task, in the order of its extents. */
export interface StoredLeaves {
  /** One hash per leaf, back to back. */
  readonly hashes: Uint8Array;
  readonly zeroLeaves: number;
  readonly newBytes: number;
  /** Bytes that the new leaves take in packs. */
  readonly packedBytes: number;
}

/** A pack has become durable. */
export interface PackStored {
  readonly entries: readonly IndexEntry[];
}

export type StoreWorkers = WorkerGroup<StoreTask, StoredLeaves | undefined, PackStored>;

/** Threads that begin to load; a backup takes them over, or whoever made them closes them. */
export function storeWorkers(workers: number): StoreWorkers {
  const module = new URL(`./store-worker${import.meta.url.slice(-3)}`, import.meta.url);
  return new WorkerGroup({ module, workers, tasksPerWorker });
}
