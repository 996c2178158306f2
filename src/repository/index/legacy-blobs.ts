/**
 * The index as it was before epochs (Kopia 0.8 and older, `index_blob_manager_v0.go`): every `n` blob counts, unless a
 * compaction log (`m`) says that it has been merged into others that are all there. What has been merged stays for hours,
 * so the logs always have to be read. Writers merge nothing: maintenance does, and a blob is small.
 */
import type { BlobStore } from '../../blobs/blob-store.ts';
import type { ContentCodec } from '../content/content-codec.ts';
import { encodeIndex } from './encode-index.ts';
import {
  entriesPerShardMax,
  shardEntries,
  type ActiveIndex,
  type IndexBlobs,
  type PutIndex,
  type PutIndexOptions,
} from './index-blobs.ts';
import type { IndexEntry } from './index-entry.ts';
import { readLegacyView, type LegacyView } from './legacy-view.ts';

export interface LegacyBlobsParts {
  readonly store: BlobStore;
  readonly codec: ContentCodec;
  readonly indexVersion: 1 | 2;
}

export class LegacyBlobs implements IndexBlobs {
  readonly #parts: LegacyBlobsParts;
  #view: LegacyView | undefined;

  constructor(parts: LegacyBlobsParts) {
    this.#parts = parts;
  }

  async list({ signal }: { readonly signal: AbortSignal }): Promise<ActiveIndex> {
    const view = await readLegacyView(this.#parts, { known: this.#view?.logs, signal });
    this.#view = view;
    const lengthBytes = new Map([...view.blobs].map(([id, blob]) => [id, blob.lengthBytes]));
    return { active: view.active, lengthBytes, deletionWatermarkSeconds: undefined };
  }

  async put(
    entries: readonly IndexEntry[],
    { sessionId, entriesMax = entriesPerShardMax, check, signal }: PutIndexOptions,
  ): Promise<PutIndex> {
    const { store, codec, indexVersion } = this.#parts;
    const encoding = { version: indexVersion, hashLengthBytes: codec.hashLengthBytes } as const;
    const blobs = [];
    for (const shard of shardEntries(entries, entriesMax)) {
      const plain = encodeIndex(shard, encoding);
      const blob = codec.sealNamed('n', sessionId, plain);
      check?.();
      await store.put(blob.id, blob.bytes, { signal });
      blobs.push({ ...blob, plain });
    }
    return { blobs, epoch: undefined };
  }

  async mayMerge(): Promise<boolean> {
    return false;
  }
}
