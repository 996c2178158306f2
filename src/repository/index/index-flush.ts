/**
 * Writes entries as index blobs of the present epoch (Kopia `epoch_manager.go` WriteIndex). Maintenance merges an epoch
 * once two newer ones have begun, and never looks at it again; so a blob counts only if its epoch is still young when
 * it is durable. A state that is getting old is read again before each blob, and the epoch once more at the end.
 */
import type { BlobId, BlobStore } from '../../blobs/blob-store.ts';
import type { ContentCodec, NamedBlob } from '../content/content-codec.ts';
import { RepositoryError } from '../repository-error.ts';
import { encodeIndex } from './encode-index.ts';
import type { EpochReader, ReadEpochState } from './epoch-reader.ts';
import { unsettledEpochs } from './epochs.ts';
import type { IndexEntry } from './index-entry.ts';

/** Entries of one blob at most (Kopia `DefaultIndexShardSize`). */
export const entriesPerShardMax = 16_000_000;
/** Times that the epoch may move, or the state expire, while shards are written. */
const attemptsMax = 10;

export interface IndexFlushParts {
  readonly store: BlobStore;
  readonly codec: ContentCodec;
  readonly epochs: EpochReader;
  readonly indexVersion: 1 | 2;
}

export interface IndexFlush {
  readonly sessionId: string;
  /** What is known of the epochs; read again when it is not fresh. */
  readonly state: ReadEpochState;
  readonly entriesMax?: number | undefined;
  readonly signal: AbortSignal;
}

export interface FlushedIndex {
  readonly state: ReadEpochState;
  /** The write epoch after everything was durable. */
  readonly writeEpoch: number;
  /** What was written, with its plaintext. */
  readonly blobs: readonly (NamedBlob & { readonly plain: Uint8Array })[];
}

/**
 * Everything that the entries refer to is durable. When this resolves, so are they.
 * @throws {RepositoryError} `index-conflict`: nothing was written, or what was written has been taken back
 */
export async function flushIndex(
  { store, codec, epochs, indexVersion }: IndexFlushParts,
  entries: readonly IndexEntry[],
  { sessionId, state: known, entriesMax = entriesPerShardMax, signal }: IndexFlush,
): Promise<FlushedIndex> {
  const shards = shardEntries(entries, entriesMax);
  const suffix = `${sessionId}-c${shards.length}`;
  const encoding = { version: indexVersion, hashLengthBytes: codec.hashLengthBytes } as const;
  let state = known;
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    if (!epochs.isFresh(state)) state = await epochs.read({ signal });
    const epoch = state.writeEpoch;
    const blobs: (NamedBlob & { plain: Uint8Array })[] = [];
    for (const shard of shards) {
      if (!epochs.isValid(state)) break;
      const plain = encodeIndex(shard, encoding);
      const blob = codec.sealNamed(`xn${epoch}_`, suffix, plain);
      await store.put(blob.id, blob.bytes, { signal });
      blobs.push({ ...blob, plain });
    }
    const ids = blobs.map(({ id }) => id);
    if (blobs.length < shards.length) {
      // Shards take long to write: what is there is kept only if the epoch is the same, and then written again.
      state = await epochs.read({ signal });
      if (state.writeEpoch !== epoch) await removeAll(store, ids, signal);
      continue;
    }
    const writeEpoch = await epochs.writeEpoch({ signal });
    if (writeEpoch < epoch + unsettledEpochs) return { state, writeEpoch, blobs };
    await removeAll(store, ids, signal);
    throw new RepositoryError(
      'index-conflict',
      `the index was written for epoch ${epoch}, but ${writeEpoch} has begun`,
    );
  }
  throw new RepositoryError('index-conflict', `write an index of ${entries.length} entries in ${shards.length} blobs`);
}

async function removeAll(store: BlobStore, blobs: readonly BlobId[], signal: AbortSignal): Promise<void> {
  for (const blob of blobs) await store.remove(blob, { signal });
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
