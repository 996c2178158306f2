/**
 * Which nodes of a volume are done, as normal ranges. A backup works roughly in order, so there are few; what a
 * checkpoint records is bounded all the same: everything below the watermark, and at most 64 ranges above it. Where
 * that is not enough the smallest are left out: work is repeated, never claimed.
 */
import assert from 'node:assert/strict';

export interface NodeRange {
  readonly first: number;
  readonly nodes: number;
}

export interface RecordedRanges {
  /** All nodes below are done. */
  readonly watermark: number;
  /** Done as well: sorted, not touching each other nor the watermark, at most 64. */
  readonly ranges: readonly NodeRange[];
}

export const recordedRangesMax = 64;

export class DoneRanges {
  /** Sorted, disjoint, not touching. */
  #ranges: { first: number; end: number }[] = [];

  static from({ watermark, ranges }: RecordedRanges): DoneRanges {
    const done = new DoneRanges();
    done.add(0, watermark);
    for (const range of ranges) done.add(range.first, range.nodes);
    return done;
  }

  clone(): DoneRanges {
    const copy = new DoneRanges();
    copy.#ranges = this.#ranges.map((range) => ({ ...range }));
    return copy;
  }

  /** Nodes done. */
  get nodes(): number {
    return this.#ranges.reduce((sum, range) => sum + range.end - range.first, 0);
  }

  /** Every node below is done, this one is not. */
  get watermark(): number {
    const first = this.#ranges[0];
    return first?.first === 0 ? first.end : 0;
  }

  has(node: number): boolean {
    const before = this.#ranges[this.#after(node) - 1];
    return before !== undefined && node < before.end;
  }

  add(first: number, nodes: number): void {
    assert(Number.isSafeInteger(first) && first >= 0 && Number.isSafeInteger(first + nodes) && nodes >= 0);
    if (nodes === 0) return;
    const end = first + nodes;
    // Those that touch the new range become one with it.
    let from = this.#after(first);
    if (from > 0 && this.#ranges[from - 1]!.end >= first) from -= 1;
    const to = this.#after(end);
    const merged = { first, end };
    for (const range of this.#ranges.slice(from, to)) {
      merged.first = Math.min(merged.first, range.first);
      merged.end = Math.max(merged.end, range.end);
    }
    this.#ranges.splice(from, Math.max(0, to - from), merged);
  }

  /** What a checkpoint may claim. */
  recorded(): RecordedRanges {
    const { watermark } = this;
    const above = this.#ranges.filter((range) => range.first >= watermark);
    const kept = above.toSorted((a, b) => b.end - b.first - (a.end - a.first)).slice(0, recordedRangesMax);
    const ranges = kept.toSorted((a, b) => a.first - b.first).map(({ first, end }) => ({ first, nodes: end - first }));
    return { watermark, ranges };
  }

  /** The index of the first range that begins past `node`. */
  #after(node: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (this.#ranges[middle]!.first <= node) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
