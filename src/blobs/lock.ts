/**
 * The lock layer: what is stored under certain names is locked for a time, so that not even whoever holds the keys can remove
 * or overwrite it. It only says so with each put; the provider does it, or refuses the put with `blob-no-lock`. Which names,
 * and for how long, a repository says itself (`kopia.blobcfg`).
 */
import type {
  BlobCall,
  BlobGet,
  BlobId,
  BlobList,
  BlobMetadata,
  BlobPut,
  BlobRetention,
  BlobStore,
  BlobUpload,
  BlobUploadOptions,
} from './blob-store.ts';

/** Structured-clonable. */
export interface LockOptions {
  /** Names that start so are locked. */
  readonly prefixes: readonly string[];
  readonly retention: BlobRetention;
}

export class LockStore implements BlobStore {
  readonly description: string;
  readonly listsInOrder: boolean;
  readonly #store: BlobStore;
  readonly #options: LockOptions;

  constructor(store: BlobStore, options: LockOptions) {
    this.description = store.description;
    this.listsInOrder = store.listsInOrder === true;
    this.#store = store;
    this.#options = options;
  }

  async get(id: BlobId, options: BlobGet): Promise<Uint8Array> {
    return await this.#store.get(id, options);
  }

  async put(id: BlobId, bytes: Uint8Array, options: BlobPut): Promise<void> {
    await this.#store.put(id, bytes, { ...options, retention: this.#retentionOf(id) });
  }

  async upload(id: BlobId, options: BlobUploadOptions): Promise<BlobUpload> {
    return await this.#store.upload(id, { ...options, retention: this.#retentionOf(id) });
  }

  async stat(id: BlobId, options: BlobCall): Promise<BlobMetadata> {
    return await this.#store.stat(id, options);
  }

  list(prefix: string, options: BlobList): AsyncIterable<BlobMetadata> {
    return this.#store.list(prefix, options);
  }

  async extendRetention(id: BlobId, retention: BlobRetention, options: BlobCall): Promise<void> {
    await this.#store.extendRetention(id, retention, options);
  }

  async remove(id: BlobId, options: BlobCall): Promise<void> {
    await this.#store.remove(id, options);
  }

  async serverTimeMs(options: BlobCall): Promise<number> {
    return await this.#store.serverTimeMs(options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#store[Symbol.asyncDispose]();
  }

  #retentionOf(id: BlobId): BlobRetention | undefined {
    return this.#options.prefixes.some((prefix) => id.startsWith(prefix)) ? this.#options.retention : undefined;
  }
}
