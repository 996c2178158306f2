/**
 * A layer that has to do with a few operations, and passes on the rest. One that has to do with all of them, as retrying,
 * counting and failing have, says each itself: none may slip through it.
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

export abstract class StoreLayer implements BlobStore {
  readonly description: string;
  readonly listsInOrder: boolean;
  /** Closed with the layer. */
  protected readonly store: BlobStore;

  constructor(store: BlobStore) {
    this.description = store.description;
    this.listsInOrder = store.listsInOrder === true;
    this.store = store;
  }

  async get(id: BlobId, options: BlobGet): Promise<Uint8Array> {
    return await this.store.get(id, options);
  }

  async put(id: BlobId, bytes: Uint8Array, options: BlobPut): Promise<void> {
    await this.store.put(id, bytes, options);
  }

  async upload(id: BlobId, options: BlobUploadOptions): Promise<BlobUpload> {
    return await this.store.upload(id, options);
  }

  async stat(id: BlobId, options: BlobCall): Promise<BlobMetadata> {
    return await this.store.stat(id, options);
  }

  list(prefix: string, options: BlobList): AsyncIterable<BlobMetadata> {
    return this.store.list(prefix, options);
  }

  async extendRetention(id: BlobId, retention: BlobRetention, options: BlobCall): Promise<void> {
    await this.store.extendRetention(id, retention, options);
  }

  async remove(id: BlobId, options: BlobCall): Promise<void> {
    await this.store.remove(id, options);
  }

  async serverTimeMs(options: BlobCall): Promise<number> {
    return await this.store.serverTimeMs(options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store[Symbol.asyncDispose]();
  }
}
