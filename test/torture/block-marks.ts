/**
 * What is known of the blocks of a volume since its last snapshot, as far as it explains what a comparison says. What
 * happens while a snapshot is being made may be in it or not: that counts for the next one too.
 */
import { blockBytes } from '../../src/changes/compare-maps.ts';

export const marks = {
  /** Zeroed, given up, or written again with the same bytes. */
  aside: 1,
  /** Laid elsewhere by deduplication. */
  moved: 2,
  /** Written to while the snapshot was made: either state is right. */
  uncertain: 4,
} as const;
export type Mark = keyof typeof marks;

export class BlockMarks {
  #now: Uint8Array;
  #next: Uint8Array;
  /** Set while a snapshot is being made. */
  cloning = false;

  constructor(blocksMax: number) {
    this.#now = new Uint8Array(blocksMax);
    this.#next = new Uint8Array(blocksMax);
  }

  add(mark: Mark, { offset, lengthBytes }: { readonly offset: number; readonly lengthBytes: number }): void {
    const end = Math.ceil((offset + lengthBytes) / blockBytes);
    for (let block = Math.floor(offset / blockBytes); block < end; block += 1) {
      this.#now[block]! |= marks[mark];
      if (this.cloning && mark !== 'uncertain') this.#next[block]! |= marks[mark];
    }
  }

  has(mark: Mark, block: number): boolean {
    return (this.#now[block]! & marks[mark]) !== 0;
  }

  /** The snapshot is judged. */
  nextRound(): void {
    [this.#now, this.#next] = [this.#next, this.#now];
    this.#next.fill(0);
  }
}
