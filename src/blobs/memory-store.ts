/** A store in memory, for tests: deterministic, with the times of the clock it is given. */
import type { Clock } from '../std/clock.ts';
import {
  BlobError,
  type BlobCall,
  type BlobGet,
  type BlobId,
  type BlobMetadata,
  type BlobPut,
  type BlobRetention,
  type BlobStore,
  type BlobUpload,
  type BlobUploadOptions,
} from './blob-store.ts';

interface Stored {
  readonly bytes: Uint8Array;
  readonly timestampMs: number;
  readonly retention: BlobRetention | undefined;
}

export class MemoryStore implements BlobStore {
  readonly description = 'memory';
  readonly #clock: Pick<Clock, 'nowMs'>;
  readonly #blobs = new Map<BlobId, Stored>();

  constructor({ clock }: { readonly clock: Pick<Clock, 'nowMs'> }) {
    this.#clock = clock;
  }

  async get(id: BlobId, { range, maxBytes, into, signal }: BlobGet): Promise<Uint8Array> {
    signal.throwIfAborted();
    const { bytes } = await this.#find(id);
    const { offset, lengthBytes } = range ?? { offset: 0, lengthBytes: bytes.length };
    if (offset < 0 || lengthBytes < 0 || offset + lengthBytes > bytes.length) {
      throw new BlobError('blob-range', `${id} has ${bytes.length} bytes, not ${offset}+${lengthBytes}`);
    }
    if (range === undefined && maxBytes !== undefined && lengthBytes > maxBytes) {
      throw new BlobError('blob-range', `${lengthBytes} bytes of ${id} are too many for one read`);
    }
    const part = bytes.slice(offset, offset + lengthBytes);
    if (into === undefined) return part;
    if (into.length < lengthBytes) throw new BlobError('blob-range', `${id}: ${lengthBytes} bytes do not fit`);
    into.set(part);
    return into.subarray(0, lengthBytes);
  }

  async put(id: BlobId, bytes: Uint8Array, { ifAbsent = false, retention, signal }: BlobPut): Promise<void> {
    signal.throwIfAborted();
    if (ifAbsent && this.#blobs.has(id)) throw new BlobError('blob-exists', `put ${id}`);
    this.#blobs.set(id, { bytes: bytes.slice(), timestampMs: this.#clock.nowMs(), retention });
  }

  async upload(id: BlobId, { retention, signal }: BlobUploadOptions): Promise<BlobUpload> {
    signal.throwIfAborted();
    const pieces: Uint8Array[] = [];
    let committed = false;
    return {
      write: async (piece) => {
        signal.throwIfAborted();
        pieces.push(piece.slice());
      },
      commit: async () => {
        if (!committed) await this.put(id, Buffer.concat(pieces), { retention, signal });
        committed = true;
      },
      [Symbol.asyncDispose]: async () => void pieces.splice(0),
    };
  }

  async stat(id: BlobId, { signal }: BlobCall): Promise<BlobMetadata> {
    signal.throwIfAborted();
    const { bytes, timestampMs } = await this.#find(id);
    return { id, lengthBytes: bytes.length, timestampMs };
  }

  async *list(prefix: string, { signal }: BlobCall): AsyncGenerator<BlobMetadata, void, undefined> {
    for (const [id, { bytes, timestampMs }] of this.#blobs.entries().toArray()) {
      signal.throwIfAborted();
      if (id.startsWith(prefix)) yield { id, lengthBytes: bytes.length, timestampMs };
    }
  }

  async extendRetention(id: BlobId, retention: BlobRetention, { signal }: BlobCall): Promise<void> {
    signal.throwIfAborted();
    this.#blobs.set(id, { ...(await this.#find(id)), retention });
  }

  async remove(id: BlobId, { signal }: BlobCall): Promise<void> {
    signal.throwIfAborted();
    this.#blobs.delete(id);
  }

  async serverTimeMs({ signal }: BlobCall): Promise<number> {
    signal.throwIfAborted();
    return this.#clock.nowMs();
  }

  /** What the blob was last locked with; locks bind nobody here. */
  retentionOf(id: BlobId): BlobRetention | undefined {
    return this.#blobs.get(id)?.retention;
  }

  /** Makes a blob look as if it had been stored at this time. */
  setTimestamp(id: BlobId, timestampMs: number): void {
    const stored = this.#blobs.get(id);
    if (stored === undefined) throw new BlobError('blob-not-found', `set the time of ${id}`);
    this.#blobs.set(id, { ...stored, timestampMs });
  }

  /** What is stored now lives on, for whoever opens it next. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.resolve();
  }

  async #find(id: BlobId): Promise<Stored> {
    const stored = this.#blobs.get(id);
    if (stored === undefined) throw new BlobError('blob-not-found', `find ${id}`);
    return stored;
  }
}
