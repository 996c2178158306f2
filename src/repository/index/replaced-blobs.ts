/**
 * Own index blobs that a merged one has replaced, and that still lie in the store for those who have listed them and
 * not yet fetched them. Kopia fetches right after it has listed, but goes by that listing for 20 minutes
 * (`epoch_manager.go`, `committedState`): a blob that goes in between makes its command retry for most of a minute and
 * then fail. So each is removed some time after it was replaced, at the next merge; what is left when the run ends, and
 * what belongs to an older epoch by then, is left to maintenance. There are never many: at more than two flushes a second the
 * oldest go sooner, after half a minute and less.
 */
import type { BlobId } from '../../blobs/blob-store.ts';
import { epochOf } from './epochs.ts';

/** From a listing to the last fetch of an opening of many thousand index blobs, with time to spare. */
export const replacedKeptMs: number = 2 * 60_000;
/** Kept at most after a merge. */
export const replacedKeptMax = 64;

export class ReplacedBlobs {
  /** In the order of replacement; the monotonic time from which on each may go, milliseconds. */
  readonly #dueAtMs = new Map<BlobId, number>();

  add(blobs: Iterable<BlobId>, nowMs: number): void {
    for (const blob of blobs) this.#dueAtMs.set(blob, nowMs + replacedKeptMs);
  }

  /** It has been written again, and stays. */
  keep(blob: BlobId): void {
    this.#dueAtMs.delete(blob);
  }

  has(blob: BlobId): boolean {
    return this.#dueAtMs.has(blob);
  }

  /** Those of this epoch whose time has come, and the oldest of too many, no more to be asked for; those of other epochs are forgotten too. */
  takeDue(epoch: number, nowMs: number): readonly BlobId[] {
    const due: BlobId[] = [];
    for (const [blob, atMs] of this.#dueAtMs) {
      if (atMs > nowMs && this.#dueAtMs.size <= replacedKeptMax) break;
      this.#dueAtMs.delete(blob);
      if (epochOf(blob) === epoch) due.push(blob);
    }
    return due;
  }
}
