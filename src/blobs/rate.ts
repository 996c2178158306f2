/**
 * The rate layer: bytes per second to and from a store, for all threads of the process together. The shared state is
 * one number, the time at which all bytes let through so far are paid for (the generic cell rate algorithm); each
 * operation adds its cost to it and waits until those before it are paid. Nobody holds a lock while it waits.
 */
import type { Clock } from '../std/clock.ts';
import type { BlobGet, BlobId, BlobPut, BlobStore, BlobUpload, BlobUploadOptions } from './blob-store.ts';
import { StoreLayer } from './store-layer.ts';

/** Structured-clonable; the bucket is shared, not copied. */
export interface RateOptions {
  /** Reads and writes together. */
  readonly bytesPerSecond: number;
  /** From `createRateBucket`. */
  readonly bucket: SharedArrayBuffer;
}

/** What an idle store may let through at once, as time at the rate. */
const burstMs = 250;

/** State that all users of one rate share. */
export function createRateBucket(): SharedArrayBuffer {
  return new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT);
}

export class RateStore extends StoreLayer {
  readonly #clock: Clock;
  readonly #bytesPerSecond: number;
  /** One element: microseconds on the monotonic clock. */
  readonly #paidAt: BigInt64Array;

  constructor({ store, clock }: { readonly store: BlobStore; readonly clock: Clock }, options: RateOptions) {
    super(store);
    this.#clock = clock;
    this.#bytesPerSecond = options.bytesPerSecond;
    this.#paidAt = new BigInt64Array(options.bucket);
  }

  override async get(id: BlobId, options: BlobGet): Promise<Uint8Array> {
    await this.#pass(options.range?.lengthBytes ?? 0, options.signal);
    const bytes = await this.store.get(id, options);
    // The length of a whole blob is known only now: those who come next wait for it.
    if (options.range === undefined) this.#charge(bytes.length);
    return bytes;
  }

  override async put(id: BlobId, bytes: Uint8Array, options: BlobPut): Promise<void> {
    await this.#pass(bytes.length, options.signal);
    await this.store.put(id, bytes, options);
  }

  override async upload(id: BlobId, options: BlobUploadOptions): Promise<BlobUpload> {
    const upload = await this.store.upload(id, options);
    return {
      write: async (piece) => {
        await this.#pass(piece.length, options.signal);
        await upload.write(piece);
      },
      commit: () => upload.commit(),
      [Symbol.asyncDispose]: () => upload[Symbol.asyncDispose](),
    };
  }

  async #pass(bytes: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const waitMs = this.#charge(bytes);
    if (waitMs > 0) await this.#clock.sleep(waitMs, { signal });
  }

  /** Takes `bytes` from the bucket. @returns milliseconds until what was taken before is paid */
  #charge(bytes: number): number {
    const cost = BigInt(Math.round((bytes * 1e6) / this.#bytesPerSecond));
    const now = BigInt(Math.floor(this.#clock.monotonicMs() * 1000));
    const earliest = now - BigInt(burstMs * 1000);
    for (let paid = Atomics.load(this.#paidAt, 0); ;) {
      const start = paid > earliest ? paid : earliest;
      const seen = Atomics.compareExchange(this.#paidAt, 0, paid, start + cost);
      if (seen === paid) return Number(start - now) / 1000;
      paid = seen;
    }
  }
}
