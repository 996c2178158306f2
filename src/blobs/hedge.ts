/**
 * The hedging layer: a ranged read that takes much longer than those of its size took of late is asked for once more, on
 * another connection, and the first answer counts. Stores have servers of which one is slow now and then, and what waits
 * for a hundred reads waits for the slowest. It is for stores that are far away, and stands below the rate and the
 * retries: what is asked twice is tried once, and above the counts: each request costs.
 *
 * Only the first read writes into the caller's buffer; the second has one of its own, and the first has ended before that is
 * copied. A few reads of a hundred at most are asked for again, so that a store that is slow for all is not asked for
 * twice as much.
 */
import { abortReason } from '../std/abort.ts';
import type { Clock } from '../std/clock.ts';
import type { BlobGet, BlobId, BlobStore } from './blob-store.ts';
import { addCount } from './count.ts';
import { RecentReads } from './recent-reads.ts';
import { StoreLayer } from './store-layer.ts';

/** Structured-clonable. */
export interface HedgeOptions {
  /** Of all reads, those that may be asked for again. */
  readonly share: number;
  /** No read is asked for again before. */
  readonly patienceMsMin: number;
}

export const defaultHedge: HedgeOptions = { share: 0.03, patienceMsMin: 100 };

export interface HedgeParts {
  readonly store: BlobStore;
  readonly clock: Clock;
  /** Where second reads are counted. */
  readonly counts?: SharedArrayBuffer | undefined;
}

/** How often second reads may follow each other at once when there were none for long. */
const savedMax = 4;
/** Held for second reads at any moment. */
const heldBytesMax = 8 * 1024 * 1024;
/** Made once, as it ends a wait of each read. */
const over = new Error('the read is over');

export class HedgeStore extends StoreLayer {
  readonly #parts: HedgeParts;
  readonly #options: HedgeOptions;
  /** By the power of two that a range's length is below. */
  readonly #recent = new Map<number, RecentReads>();
  #saved = 1;
  #heldBytes = 0;

  constructor(parts: HedgeParts, options: HedgeOptions) {
    super(parts.store);
    this.#parts = parts;
    this.#options = options;
  }

  override async get(id: BlobId, options: BlobGet): Promise<Uint8Array> {
    const { range } = options;
    if (range === undefined) return await this.store.get(id, options);
    const { clock } = this.#parts;
    const recent = this.#recentOf(range.lengthBytes);
    const begunMs = clock.monotonicMs();
    const patienceMs = recent.patienceMs();
    const bytes = await (patienceMs === undefined || this.#saved < 1
      ? this.store.get(id, options)
      : this.#getImpatiently(id, options, Math.max(patienceMs, this.#options.patienceMsMin)));
    recent.add(clock.monotonicMs() - begunMs);
    this.#saved = Math.min(savedMax, this.#saved + this.#options.share);
    return bytes;
  }

  async #getImpatiently(id: BlobId, options: BlobGet, patienceMs: number): Promise<Uint8Array> {
    const { into, signal, range: { lengthBytes } = { lengthBytes: 0 } } = options;
    using firstEnd = new Ending(signal);
    const first = this.store.get(id, { ...options, signal: firstEnd.signal });
    if (await this.#settles(first, patienceMs)) return await first;
    // Others may have been asked for again meanwhile.
    if (signal.aborted || this.#saved < 1 || this.#heldBytes + lengthBytes > heldBytesMax) return await first;
    using secondEnd = new Ending(signal);
    this.#saved -= 1;
    this.#heldBytes += lengthBytes;
    if (this.#parts.counts !== undefined) addCount(this.#parts.counts, 'hedgedGets');
    const second = this.store.get(id, { ...options, into: undefined, signal: secondEnd.signal });
    const isSecond = await Promise.any([first.then(() => false), second.then(() => true)]).catch(() => false);
    firstEnd.end();
    secondEnd.end();
    // The buffer belongs to the first read until that has settled, whoever wins.
    await Promise.allSettled([first, second]);
    this.#heldBytes -= lengthBytes;
    if (!isSecond) return await first;
    const bytes = await second;
    if (into === undefined) return bytes;
    into.set(bytes);
    return into.subarray(0, bytes.length);
  }

  /** Whether it settles in that time. */
  async #settles(read: Promise<unknown>, patienceMs: number): Promise<boolean> {
    const waiting = new AbortController();
    const settled = read.then(
      () => true,
      () => true,
    );
    const late = this.#parts.clock.sleep(patienceMs, { signal: waiting.signal }).then(
      () => false,
      () => false,
    );
    const isSettled = await Promise.race([settled, late]);
    waiting.abort(over);
    return isSettled;
  }

  #recentOf(lengthBytes: number): RecentReads {
    const size = Math.ceil(Math.log2(Math.max(1, lengthBytes)));
    const recent = this.#recent.get(size) ?? new RecentReads();
    this.#recent.set(size, recent);
    return recent;
  }
}

/** A signal that ends with another, or alone. */
class Ending implements Disposable {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal;
  readonly #follow = (): void => this.#controller.abort(abortReason(this.#outer));

  constructor(outer: AbortSignal) {
    this.#outer = outer;
    if (outer.aborted) this.#follow();
    else outer.addEventListener('abort', this.#follow, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Harmless when it has ended. */
  end(): void {
    this.#controller.abort(over);
  }

  [Symbol.dispose](): void {
    this.#outer.removeEventListener('abort', this.#follow);
  }
}
