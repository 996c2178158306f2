/**
 * The fault layer: makes a store fail on purpose, by rules and a seed, so that a failure can be had again. It stands
 * below the other layers and shows them what a real store shows: errors before and after the work was done, slowness,
 * short reads, a full disk, and silence.
 */
import { abortReason, untilAborted } from '../std/abort.ts';
import type { Clock } from '../std/clock.ts';
import { seededRng, type Rng } from '../std/rng.ts';
import {
  BlobError,
  type BlobCall,
  type BlobGet,
  type BlobId,
  type BlobList,
  type BlobMetadata,
  type BlobPut,
  type BlobRetention,
  type BlobStore,
  type BlobUpload,
  type BlobUploadOptions,
} from './blob-store.ts';

/** `write` and `commit` are those of an upload. */
export type BlobOperation =
  | 'get'
  | 'put'
  | 'upload'
  | 'write'
  | 'commit'
  | 'stat'
  | 'list'
  | 'remove'
  | 'extend'
  | 'serverTime';

export type Fault =
  /** The store is not asked. */
  | { readonly kind: 'fail'; readonly code: BlobError['code'] }
  /** The store does it and the caller is told that it failed. For an upload's `write` the same as `fail`. */
  | { readonly kind: 'fail-after'; readonly code: BlobError['code'] }
  | { readonly kind: 'slow'; readonly delayMs: number }
  /** Of what `get` reads only this part arrives, 0 to 1. */
  | { readonly kind: 'truncate'; readonly keep: number }
  /** Bytes of puts and uploads that match fit until this many have been stored; then `blob-no-space`. */
  | { readonly kind: 'no-space'; readonly afterBytes: number }
  /** No answer until the caller gives up. */
  | { readonly kind: 'hang' };

export interface FaultRule {
  readonly operations: readonly BlobOperation[];
  /** Only blobs whose name, or listings whose prefix, starts so. */
  readonly prefix?: string | undefined;
  /** Of the operations that match: the nth (from 1), every one from the nth on, or each with a probability. */
  readonly when: { readonly nth: number } | { readonly from: number } | { readonly probability: number };
  readonly fault: Fault;
}

/** Structured-clonable. Each store that is opened with it counts and draws for itself. */
export interface FaultOptions {
  readonly seed: number;
  readonly rules: readonly FaultRule[];
}

interface Rule {
  readonly rule: FaultRule;
  matched: number;
  storedBytes: number;
}

interface Asked {
  readonly operation: BlobOperation;
  readonly name: string;
  readonly signal: AbortSignal;
  /** Bytes that the operation would store. */
  readonly bytes?: number;
}

export class FaultStore implements BlobStore {
  readonly description: string;
  readonly listsInOrder: boolean;
  readonly #store: BlobStore;
  readonly #clock: Clock;
  readonly #rng: Rng;
  readonly #rules: readonly Rule[];

  constructor({ store, clock }: { readonly store: BlobStore; readonly clock: Clock }, { seed, rules }: FaultOptions) {
    this.description = store.description;
    this.listsInOrder = store.listsInOrder === true;
    this.#store = store;
    this.#clock = clock;
    this.#rng = seededRng(seed);
    this.#rules = rules.map((rule) => ({ rule, matched: 0, storedBytes: 0 }));
  }

  async get(id: BlobId, options: BlobGet): Promise<Uint8Array> {
    let keep = 1;
    const onTruncate = (part: number): void => void (keep = Math.min(keep, part));
    const asked = { operation: 'get', name: id, signal: options.signal } as const;
    const bytes = await this.#run(asked, () => this.#store.get(id, options), onTruncate);
    return keep < 1 ? bytes.subarray(0, Math.floor(bytes.length * keep)) : bytes;
  }

  async put(id: BlobId, bytes: Uint8Array, options: BlobPut): Promise<void> {
    const asked = { operation: 'put', name: id, signal: options.signal, bytes: bytes.length } as const;
    await this.#run(asked, () => this.#store.put(id, bytes, options));
  }

  async upload(id: BlobId, options: BlobUploadOptions): Promise<BlobUpload> {
    const { signal } = options;
    const after = await this.#before({ operation: 'upload', name: id, signal });
    const upload = await this.#store.upload(id, options);
    try {
      after();
    } catch (error) {
      // Reported as failed, it would be nobody's to dispose of.
      await upload[Symbol.asyncDispose]();
      throw error;
    }
    return {
      write: (piece) => {
        const asked = { operation: 'write', name: id, signal, bytes: piece.length } as const;
        return this.#run(asked, () => upload.write(piece));
      },
      commit: () => this.#run({ operation: 'commit', name: id, signal }, () => upload.commit()),
      [Symbol.asyncDispose]: () => upload[Symbol.asyncDispose](),
    };
  }

  async stat(id: BlobId, options: BlobCall): Promise<BlobMetadata> {
    return await this.#run({ operation: 'stat', name: id, ...options }, () => this.#store.stat(id, options));
  }

  async *list(prefix: string, options: BlobList): AsyncGenerator<BlobMetadata, void, undefined> {
    const after = await this.#before({ operation: 'list', name: prefix, signal: options.signal });
    yield* this.#store.list(prefix, options);
    after();
  }

  async extendRetention(id: BlobId, retention: BlobRetention, options: BlobCall): Promise<void> {
    const asked = { operation: 'extend', name: id, ...options } as const;
    await this.#run(asked, () => this.#store.extendRetention(id, retention, options));
  }

  async remove(id: BlobId, options: BlobCall): Promise<void> {
    await this.#run({ operation: 'remove', name: id, ...options }, () => this.#store.remove(id, options));
  }

  async serverTimeMs(options: BlobCall): Promise<number> {
    const asked = { operation: 'serverTime', name: '', ...options } as const;
    return await this.#run(asked, () => this.#store.serverTimeMs(options));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#store[Symbol.asyncDispose]();
  }

  async #run<T>(asked: Asked, work: () => Promise<T>, onTruncate?: (part: number) => void): Promise<T> {
    const after = await this.#before(asked, onTruncate);
    const result = await work();
    after();
    return result;
  }

  /** Applies what comes before the work. @returns what to call after it: throws when it shall have failed */
  async #before(asked: Asked, onTruncate?: (part: number) => void): Promise<() => void> {
    let failAfter: BlobError | undefined;
    // Every rule counts the operation before any acts on it, so that rules do not shift each other.
    const applying = this.#rules.filter((rule) => this.#applies(rule, asked));
    for (const rule of applying) {
      const { fault } = rule.rule;
      switch (fault.kind) {
        case 'fail':
          throw injected(fault.code, asked);
        case 'fail-after':
          if (asked.operation === 'write') throw injected(fault.code, asked);
          failAfter = injected(fault.code, asked);
          break;
        case 'slow':
          await this.#clock.sleep(fault.delayMs, { signal: asked.signal });
          break;
        case 'truncate':
          onTruncate?.(fault.keep);
          break;
        case 'no-space':
          rule.storedBytes += asked.bytes ?? 0;
          if (rule.storedBytes > fault.afterBytes) throw injected('blob-no-space', asked);
          break;
        case 'hang':
          await untilAborted(asked.signal);
      }
    }
    if (asked.signal.aborted) throw abortReason(asked.signal);
    return () => {
      if (failAfter !== undefined) throw failAfter;
    };
  }

  #applies(state: Rule, { operation, name }: Asked): boolean {
    const { operations, prefix = '', when } = state.rule;
    if (!operations.includes(operation) || !name.startsWith(prefix)) return false;
    state.matched += 1;
    if ('nth' in when) return state.matched === when.nth;
    if ('from' in when) return state.matched >= when.from;
    return this.#rng.uniform() < when.probability;
  }
}

function injected(code: BlobError['code'], { operation, name }: Asked): BlobError {
  return new BlobError(code, `injected fault: ${operation} ${name}`);
}
