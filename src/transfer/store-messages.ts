/** What the main thread asks of a store worker (`store-worker.ts`), and what comes back. All of it is structured-clonable. */
import type { BlobStoreLocation } from '../blobs/location.ts';
import type { CompressorName } from '../repository/content/compression.ts';
import type { ContentFormat } from '../repository/format/content-format.ts';
import type { IndexEntry } from '../repository/index/index-entry.ts';
import type { IndexLookupLocation } from '../repository/index/index-lookup.ts';
import type { SourceLocation } from '../volume/block-source.ts';
import type { ClaimMemory } from './claim-table.ts';

/** Bytes that one task covers, and the size of a worker's read slot: a multiple of the leaf. */
export const taskBytes: number = 4 * 1024 * 1024;
/** Tasks a worker holds: one being worked on, the others being read. */
export const tasksPerWorker = 3;

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
}

export type StoreTask =
  /** Make contents of these bytes of the source; `offset` is a multiple of the leaf. Answer: StoredLeaves. */
  | { readonly kind: 'store'; readonly offset: number; readonly lengthBytes: number }
  /** Only the ids: for audits. Answer: StoredLeaves. */
  | { readonly kind: 'hash'; readonly offset: number; readonly lengthBytes: number }
  /** End the open pack; answer when all is durable and reported. Later packs carry `sessionId`. */
  | { readonly kind: 'seal'; readonly sessionId: string; readonly generation: number }
  /** The index has grown: look there from now on. */
  | { readonly kind: 'index'; readonly index: IndexLookupLocation };

/** The leaves of a task, in order. */
export interface StoredLeaves {
  /** One hash per leaf, back to back. */
  readonly hashes: Uint8Array;
  readonly zeroLeaves: number;
  readonly newLeaves: number;
  readonly newBytes: number;
  /** Bytes that the new leaves take in packs. */
  readonly packedBytes: number;
}

/** A pack has become durable. */
export interface PackStored {
  readonly entries: readonly IndexEntry[];
}
