/**
 * The lock layer: what is stored under certain names is locked for a time, so that not even whoever holds the keys can remove
 * or overwrite it. It only says so with each put; the provider does it, or refuses the put with `blob-no-lock`. Which names,
 * and for how long, a repository says itself (`kopia.blobcfg`).
 */
import type { BlobId, BlobPut, BlobRetention, BlobStore, BlobUpload, BlobUploadOptions } from './blob-store.ts';
import { StoreLayer } from './store-layer.ts';

/** Structured-clonable. */
export interface LockOptions {
  /** Names that start so are locked. */
  readonly prefixes: readonly string[];
  readonly retention: BlobRetention;
}

export class LockStore extends StoreLayer {
  readonly #options: LockOptions;

  constructor(store: BlobStore, options: LockOptions) {
    super(store);
    this.#options = options;
  }

  override async put(id: BlobId, bytes: Uint8Array, options: BlobPut): Promise<void> {
    await this.store.put(id, bytes, { ...options, retention: this.#retentionOf(id) });
  }

  override async upload(id: BlobId, options: BlobUploadOptions): Promise<BlobUpload> {
    return await this.store.upload(id, { ...options, retention: this.#retentionOf(id) });
  }

  #retentionOf(id: BlobId): BlobRetention | undefined {
    return this.#options.prefixes.some((prefix) => id.startsWith(prefix)) ? this.#options.retention : undefined;
  }
}
