/**
 * The read cache: short stretches of blobs that never change under their name, kept in a file of bounded size on the local disk
 * (`cache-file.ts`). It is for what commands read again and again from a store that is far away: folders, lists and manifests,
 * which lie in packs of metadata. What is kept is sealed as it came, so the cache tells nobody more than the store does.
 *
 * It must not stand below whoever wants to know whether the store still has something, such as a verification or a backup that
 * refers to what is there. What came damaged would come so again: who finds that asks with `fresh`, and the cache is mended.
 */
import type { BlobGet, BlobId, BlobStore } from './blob-store.ts';
import { StoreLayer } from './store-layer.ts';
import { type CacheFile, entryBytesMax } from './cache-file.ts';

export interface CacheOptions {
  /** Names that start so never change. */
  readonly prefixes: readonly string[];
  /** Sets the blobs of this store apart from those of others in the same file. */
  readonly scope: string;
}

export interface CacheParts {
  /** Closed with the layer. */
  readonly store: BlobStore;
  /** Closed with the layer. */
  readonly file: CacheFile;
}

export class CacheStore extends StoreLayer {
  readonly #file: CacheFile;
  readonly #options: CacheOptions;

  constructor({ store, file }: CacheParts, options: CacheOptions) {
    super(store);
    this.#file = file;
    this.#options = options;
  }

  /** Ranges are kept as they were asked for: contents are asked for in the same way each time. */
  override async get(id: BlobId, options: BlobGet): Promise<Uint8Array> {
    const { range, into, fresh = false, signal } = options;
    if (range === undefined || !this.#isKept(id, range.lengthBytes) || (into && into.length < range.lengthBytes)) {
      return await this.store.get(id, options);
    }
    signal.throwIfAborted();
    const key = `${this.#options.scope}/${id}/${range.offset}+${range.lengthBytes}`;
    const kept = fresh ? undefined : await this.#file.get(key, range.lengthBytes);
    if (kept !== undefined) {
      if (into === undefined) return kept;
      into.set(kept);
      return into.subarray(0, kept.length);
    }
    const bytes = await this.store.get(id, options);
    if (bytes.length === range.lengthBytes) await this.#file.put(key, bytes);
    return bytes;
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await this.#file[Symbol.asyncDispose]();
    await this.store[Symbol.asyncDispose]();
  }

  #isKept(id: BlobId, lengthBytes: number): boolean {
    return (
      lengthBytes > 0 && lengthBytes <= entryBytesMax && this.#options.prefixes.some((prefix) => id.startsWith(prefix))
    );
  }
}
