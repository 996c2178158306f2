/**
 * The counting layer: how often a store was asked for what, and how many bytes went which way, by all threads of the process
 * together. It stands below the other layers, so that what is tried again counts again: that is what a store charges for.
 */
import { hasCode } from '../std/dray-error.ts';
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

/** Structured-clonable; the counts are shared, not copied. */
export interface CountOptions {
  /** From `createCounts`. */
  readonly counts: SharedArrayBuffer;
}

const names = [
  'gets',
  'getBytes',
  'hedgedGets',
  'puts',
  'putBytes',
  'lists',
  'listedBlobs',
  'stats',
  'removes',
  'lockedRemoves',
] as const;
type CountName = (typeof names)[number];

/**
 * `hedgedGets` are those of `gets` that asked once more for what was slow to come. `lockedRemoves` are those of `removes` that a lock refused; nobody tries them again. `puts` are blobs, however many pieces they came in; `lists` are listings, however many pages the store
 * needed; extending a retention counts with `stats`.
 */
export type StoreCounts = Readonly<Record<CountName, number>>;

export function createCounts(): SharedArrayBuffer {
  return new SharedArrayBuffer(names.length * BigInt64Array.BYTES_PER_ELEMENT);
}

export function readCounts(counts: SharedArrayBuffer): StoreCounts {
  const cells = new BigInt64Array(counts);
  const entries = names.map((name, index) => [name, Number(Atomics.load(cells, index))] as const);
  return Object.fromEntries(entries) as Record<CountName, number>;
}

/** For layers that know more of a call than that it was made. */
export function addCount(counts: SharedArrayBuffer, name: CountName): void {
  add(new BigInt64Array(counts), name, 1);
}

function add(cells: BigInt64Array, name: CountName, by: number): void {
  Atomics.add(cells, names.indexOf(name), BigInt(by));
}

export class CountStore implements BlobStore {
  readonly description: string;
  readonly listsInOrder: boolean;
  readonly #store: BlobStore;
  readonly #cells: BigInt64Array;

  constructor(store: BlobStore, { counts }: CountOptions) {
    this.description = store.description;
    this.listsInOrder = store.listsInOrder === true;
    this.#store = store;
    this.#cells = new BigInt64Array(counts);
  }

  async get(id: BlobId, options: BlobGet): Promise<Uint8Array> {
    this.#count('gets');
    const bytes = await this.#store.get(id, options);
    this.#count('getBytes', bytes.length);
    return bytes;
  }

  async put(id: BlobId, bytes: Uint8Array, options: BlobPut): Promise<void> {
    this.#count('puts');
    this.#count('putBytes', bytes.length);
    await this.#store.put(id, bytes, options);
  }

  async upload(id: BlobId, options: BlobUploadOptions): Promise<BlobUpload> {
    this.#count('puts');
    const upload = await this.#store.upload(id, options);
    return {
      write: async (piece) => {
        this.#count('putBytes', piece.length);
        await upload.write(piece);
      },
      commit: () => upload.commit(),
      [Symbol.asyncDispose]: () => upload[Symbol.asyncDispose](),
    };
  }

  async stat(id: BlobId, options: BlobCall): Promise<BlobMetadata> {
    this.#count('stats');
    return await this.#store.stat(id, options);
  }

  async *list(prefix: string, options: BlobList): AsyncGenerator<BlobMetadata, void, undefined> {
    this.#count('lists');
    for await (const blob of this.#store.list(prefix, options)) {
      this.#count('listedBlobs');
      yield blob;
    }
  }

  async extendRetention(id: BlobId, retention: BlobRetention, options: BlobCall): Promise<void> {
    this.#count('stats');
    await this.#store.extendRetention(id, retention, options);
  }

  async remove(id: BlobId, options: BlobCall): Promise<void> {
    this.#count('removes');
    try {
      await this.#store.remove(id, options);
    } catch (error) {
      if (hasCode(error, 'blob-locked')) this.#count('lockedRemoves');
      throw error;
    }
  }

  async serverTimeMs(options: BlobCall): Promise<number> {
    this.#count('stats');
    return await this.#store.serverTimeMs(options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#store[Symbol.asyncDispose]();
  }

  #count(name: CountName, by = 1): void {
    add(this.#cells, name, by);
  }
}
