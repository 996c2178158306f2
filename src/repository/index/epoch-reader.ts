/**
 * Reads the epoch state from the names in a store, and says how long it may be believed. Maintenance deletes what it
 * has merged only hours later, so a state that is younger than Kopia's refresh time (20 minutes) always names blobs
 * that are there, or whose replacement a new listing finds.
 */
import type { BlobId, BlobStore } from '../../blobs/blob-store.ts';
import type { Clock } from '../../std/clock.ts';
import type { EpochParameters } from '../format/content-format.ts';
import { RepositoryError } from '../repository-error.ts';
import { epochOf, epochState, type EpochState } from './epochs.ts';

export interface ReadEpochState extends EpochState {
  /** All blobs whose name begins with `x`, with their lengths. */
  readonly lengthBytes: ReadonlyMap<BlobId, number>;
  /** Monotonic time when reading began. */
  readonly readAtMs: number;
  /** Monotonic time after which the state says nothing any more. */
  readonly validUntilMs: number;
}

/** Listings that take longer than a state is valid are repeated this often. */
const attemptsMax = 3;
/** For repositories whose parameters say nothing. */
const refreshDefaultMs = 20 * 60 * 1000;

export class EpochReader {
  readonly #store: BlobStore;
  readonly #clock: Clock;
  readonly #refreshMs: number;

  constructor(store: BlobStore, { epochs, clock }: { readonly epochs: EpochParameters; readonly clock: Clock }) {
    this.#store = store;
    this.#clock = clock;
    this.#refreshMs = epochs.refreshFrequencyMs > 0 ? epochs.refreshFrequencyMs : refreshDefaultMs;
  }

  /** @throws {BlobError}; {RepositoryError} `index-conflict` when the store lists too slowly to be believed */
  async read({ signal }: { readonly signal: AbortSignal }): Promise<ReadEpochState> {
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      const readAtMs = this.#clock.monotonicMs();
      const lengthBytes = new Map<BlobId, number>();
      for await (const blob of this.#store.list('x', { signal })) lengthBytes.set(blob.id, blob.lengthBytes);
      const validUntilMs = readAtMs + this.#refreshMs;
      if (this.#clock.monotonicMs() < validUntilMs) {
        return { ...epochState([...lengthBytes.keys()]), lengthBytes, readAtMs, validUntilMs };
      }
    }
    const minutes = this.#refreshMs / 60_000;
    throw new RepositoryError('index-conflict', `listing the index blobs takes more than ${minutes} minutes`);
  }

  /** The newest epoch alone: one listing of a few names. */
  async writeEpoch({ signal }: { readonly signal: AbortSignal }): Promise<number> {
    let newest = 0;
    for await (const { id } of this.#store.list('xe', { signal })) newest = Math.max(newest, epochOf(id) ?? 0);
    return newest;
  }

  /** True while a writer may still use the state: three quarters of its time are left (Kopia). */
  isFresh(state: ReadEpochState): boolean {
    return this.#clock.monotonicMs() < state.validUntilMs - this.#refreshMs * 0.75;
  }

  isValid(state: ReadEpochState): boolean {
    return this.#clock.monotonicMs() < state.validUntilMs;
  }
}
