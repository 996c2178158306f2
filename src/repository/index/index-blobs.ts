/** Which blobs of a store are its index, and how new ones join them: by epochs, or as before there were epochs. */
import type { BlobId } from '../../blobs/blob-store.ts';
import type { NamedBlob } from '../content/content-codec.ts';
import type { IndexEntry } from './index-entry.ts';

/** Entries of one blob at most (Kopia `DefaultIndexShardSize`). */
export const entriesPerShardMax = 16_000_000;

export interface ActiveIndex {
  /** The blobs whose entries, merged, are the index. */
  readonly active: readonly BlobId[];
  /** Of these, and maybe of others. */
  readonly lengthBytes: ReadonlyMap<BlobId, number>;
  /** Deleted entries up to this time count as not existing; undefined when nothing was ever dropped. */
  readonly deletionWatermarkSeconds: number | undefined;
}

export interface PutIndex {
  /** What was written, with its plaintext. */
  readonly blobs: readonly (NamedBlob & { readonly plain: Uint8Array })[];
  /** The epoch in which this process may merge them; undefined where it may not. */
  readonly epoch: number | undefined;
}

export interface PutIndexOptions {
  readonly sessionId: string;
  readonly entriesMax?: number | undefined;
  /** Asked just before each blob is put; what it throws ends the flush. */
  readonly check?: (() => void) | undefined;
  readonly signal: AbortSignal;
}

export interface IndexBlobs {
  /** @throws {BlobError}; {RepositoryError} `index-conflict`, `corrupt` */
  list(options: { readonly signal: AbortSignal }): Promise<ActiveIndex>;

  /**
   * Everything that the entries refer to is durable. When this resolves, so are they.
   * @throws {RepositoryError} `index-conflict`: nothing was written, or what was written has been taken back
   */
  put(entries: readonly IndexEntry[], options: PutIndexOptions): Promise<PutIndex>;

  /** False when maintenance may have merged the epoch. */
  mayMerge(epoch: number, options: { readonly signal: AbortSignal }): Promise<boolean>;
}

/** Non-empty shards; an entry's shard depends on its content id alone. */
export function shardEntries(entries: readonly IndexEntry[], entriesMax: number): (readonly IndexEntry[])[] {
  const count = Math.ceil(entries.length / entriesMax);
  if (count <= 1) return [entries];
  const shards = Array.from({ length: count }, (): IndexEntry[] => []);
  for (const entry of entries) shards[fnv1a(entry.contentId) % count]!.push(entry);
  return shards.filter((shard) => shard.length > 0);
}

/** FNV-1a, 32 bits, of ASCII text. */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
