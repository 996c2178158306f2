/** A blob store in memory for the tests of this folder, with a hook before and after what it does. */
import assert from 'node:assert/strict';

import {
  BlobError,
  type BlobCall,
  type BlobGet,
  type BlobId,
  type BlobMetadata,
  type BlobPut,
  type BlobStore,
  type BlobUpload,
} from '../../blobs/blob-store.ts';

export class HookedStore implements BlobStore {
  readonly description = 'memory';
  readonly blobs: Map<BlobId, Uint8Array> = new Map<BlobId, Uint8Array>();
  gets = 0;
  beforeGet: ((id: BlobId) => void | Promise<void>) | undefined;
  beforePut: ((id: BlobId) => void) | undefined;
  afterPut: ((id: BlobId) => void) | undefined;
  beforeRemove: ((id: BlobId) => void) | undefined;

  async get(id: BlobId, { range, signal }: BlobGet): Promise<Uint8Array> {
    assert(range === undefined, 'index blobs are read whole');
    this.gets++;
    await this.beforeGet?.(id);
    signal.throwIfAborted();
    const bytes = this.blobs.get(id);
    if (bytes === undefined) throw new BlobError('blob-not-found', id);
    return Uint8Array.from(bytes);
  }

  async put(id: BlobId, bytes: Uint8Array, { signal }: BlobPut): Promise<void> {
    signal.throwIfAborted();
    this.beforePut?.(id);
    this.blobs.set(id, Uint8Array.from(bytes));
    this.afterPut?.(id);
  }

  upload(): Promise<BlobUpload> {
    throw new BlobError('blob-read-only', 'index blobs are put at once');
  }

  async stat(id: BlobId): Promise<BlobMetadata> {
    const bytes = this.blobs.get(id);
    if (bytes === undefined) throw new BlobError('blob-not-found', id);
    return { id, lengthBytes: bytes.length, timestampMs: 0 };
  }

  async *list(prefix: string, { signal }: BlobCall): AsyncGenerator<BlobMetadata> {
    for (const [id, bytes] of this.blobs.entries().toArray()) {
      signal.throwIfAborted();
      if (id.startsWith(prefix)) yield { id, lengthBytes: bytes.length, timestampMs: 0 };
    }
  }

  extendRetention(): Promise<void> {
    throw new BlobError('blob-no-lock', 'nothing is locked here');
  }

  async remove(id: BlobId): Promise<void> {
    this.beforeRemove?.(id);
    this.blobs.delete(id);
  }

  async serverTimeMs(): Promise<number> {
    return 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.blobs.clear();
  }
}
