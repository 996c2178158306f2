/**
 * The retry layer: the only place where a blob operation is tried again, and only for `blob-unavailable`. All
 * operations may be repeated: a put stores the same bytes again, a remove of what is gone succeeds, an upload's pieces
 * and its commit may be repeated by contract. A conditional put may find its own first attempt; equal bytes are then
 * its success.
 */
import type { Clock } from '../std/clock.ts';
import { hasCode } from '../std/dray-error.ts';
import type { Rng } from '../std/rng.ts';
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
export interface RetryOptions {
  /** Attempts of one operation, the first included. */
  readonly attemptsMax: number;
  /** Upper bound of the first pause; each later one is twice the one before. */
  readonly firstPauseMs: number;
  readonly pauseMsMax: number;
  /** But for the first few, no attempt begins later than this after the first has failed. */
  readonly budgetMs: number;
}

/** Rides out a minute and a half of a store that is away. */
export const defaultRetry: RetryOptions = { attemptsMax: 50, firstPauseMs: 200, pauseMsMax: 15_000, budgetMs: 90_000 };

/** Made in any case: on a slow link a pack takes minutes, and a connection that has died silently is noticed after one. */
const attemptsMin = 3;
/** Instead of the budget, for a store that has never answered: it is likelier that its address is wrong. */
const unknownBudgetMs = 30_000;

/** Names remembered to go on with a listing that broke off; a longer one fails instead of growing. */
const listedNamesMax = 100_000;

export interface RetryParts {
  readonly store: BlobStore;
  readonly clock: Clock;
  readonly rng: Rng;
}

export class RetryStore implements BlobStore {
  readonly description: string;
  readonly listsInOrder: boolean;
  readonly #store: BlobStore;
  readonly #retry: Retry;

  constructor(parts: RetryParts, options: RetryOptions) {
    this.description = parts.store.description;
    this.listsInOrder = parts.store.listsInOrder === true;
    this.#store = parts.store;
    this.#retry = new Retry(parts, options);
  }

  async get(id: BlobId, options: BlobGet): Promise<Uint8Array> {
    return await this.#retry.run(options.signal, () => this.#store.get(id, options));
  }

  async put(id: BlobId, bytes: Uint8Array, options: BlobPut): Promise<void> {
    await this.#retry.run(options.signal, async ({ attempt }) => {
      try {
        await this.#store.put(id, bytes, options);
      } catch (error) {
        if (attempt === 1 || options.ifAbsent !== true || !hasCode(error, 'blob-exists')) throw error;
        const present = await this.#store.get(id, { signal: options.signal });
        if (Buffer.compare(present, bytes) !== 0) throw error;
      }
    });
  }

  async upload(id: BlobId, options: BlobUploadOptions): Promise<BlobUpload> {
    const upload = await this.#retry.run(options.signal, () => this.#store.upload(id, options));
    return {
      write: (piece) => this.#retry.run(options.signal, () => upload.write(piece)),
      commit: () => this.#retry.run(options.signal, () => upload.commit()),
      [Symbol.asyncDispose]: () => upload[Symbol.asyncDispose](),
    };
  }

  async stat(id: BlobId, options: BlobCall): Promise<BlobMetadata> {
    return await this.#retry.run(options.signal, () => this.#store.stat(id, options));
  }

  list(prefix: string, options: BlobList): AsyncIterable<BlobMetadata> {
    return this.listsInOrder ? this.#listInOrder(prefix, options) : this.#listAgain(prefix, options);
  }

  /** Goes on after the last name. Each name is progress, so that a listing of any length ends on a link that often fails. */
  async *#listInOrder(prefix: string, { signal, after }: BlobList): AsyncGenerator<BlobMetadata, void, undefined> {
    let last = after;
    let inOrder = true;
    let pause = this.#retry.start(signal);
    for (;;) {
      const begunAfter = last;
      try {
        for await (const blob of this.#store.list(prefix, { signal, after: last })) {
          inOrder &&= last === undefined || blob.id > last;
          last = blob.id;
          yield blob;
        }
        return;
      } catch (error) {
        // A store that broke its word cannot be asked for the rest: what is left out would be taken for deleted.
        if (!inOrder) throw error;
        if (last !== begunAfter) pause = this.#retry.start(signal);
        await pause(error);
      }
    }
  }

  async *#listAgain(prefix: string, options: BlobList): AsyncGenerator<BlobMetadata, void, undefined> {
    const listed = new Set<BlobId>();
    const pause = this.#retry.start(options.signal);
    for (;;) {
      try {
        for await (const blob of this.#store.list(prefix, options)) {
          if (listed.has(blob.id)) continue;
          if (listed.size < listedNamesMax) listed.add(blob.id);
          yield blob;
        }
        return;
      } catch (error) {
        if (listed.size >= listedNamesMax) throw error;
        await pause(error);
      }
    }
  }

  async extendRetention(id: BlobId, retention: BlobRetention, options: BlobCall): Promise<void> {
    await this.#retry.run(options.signal, () => this.#store.extendRetention(id, retention, options));
  }

  async remove(id: BlobId, options: BlobCall): Promise<void> {
    await this.#retry.run(options.signal, () => this.#store.remove(id, options));
  }

  async serverTimeMs(options: BlobCall): Promise<number> {
    return await this.#retry.run(options.signal, () => this.#store.serverTimeMs(options));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#store[Symbol.asyncDispose]();
  }
}

/** Exponential pauses with full jitter: many clients of a store that comes back do not return at once. */
class Retry {
  readonly #parts: RetryParts;
  readonly #options: RetryOptions;
  /** Whether anything but `blob-unavailable` has ever come back. */
  #answered = false;

  constructor(parts: RetryParts, options: RetryOptions) {
    this.#parts = parts;
    this.#options = options;
  }

  async run<T>(signal: AbortSignal, operation: (state: { readonly attempt: number }) => Promise<T>): Promise<T> {
    const pause = this.start(signal);
    for (let attempt = 1; ; attempt += 1) {
      try {
        const result = await operation({ attempt });
        this.#answered = true;
        return result;
      } catch (error) {
        await pause(error);
      }
    }
  }

  /** Begins one operation's attempts: the result waits before the next one, or throws the error when there is none. */
  start(signal: AbortSignal): (error: unknown) => Promise<void> {
    const { clock, rng } = this.#parts;
    const { attemptsMax, firstPauseMs, pauseMsMax, budgetMs } = this.#options;
    let failedAtMs: number | undefined;
    let failed = 0;
    return async (error) => {
      signal.throwIfAborted();
      failed += 1;
      failedAtMs ??= clock.monotonicMs();
      this.#answered ||= !hasCode(error, 'blob-unavailable');
      if (!hasCode(error, 'blob-unavailable') || failed >= attemptsMax) throw error;
      const pauseMs = rng.uniform() * Math.min(pauseMsMax, firstPauseMs * 2 ** (failed - 1));
      const isLate =
        clock.monotonicMs() + pauseMs - failedAtMs > (this.#answered ? budgetMs : Math.min(budgetMs, unknownBudgetMs));
      if (isLate && failed >= attemptsMin) throw error;
      await clock.sleep(pauseMs, { signal });
    };
  }
}
