/**
 * Merges sorted entries from several sources into one sorted stream in which each content appears once, with the entry
 * that wins (Kopia `merged.go`; the rule is `isBetter`). Deleted entries are entries like others and stay: dropping one
 * would bring an older, living one back.
 */
import assert from 'node:assert/strict';

import { compareKeys } from './compare-keys.ts';
import { isBetterCursor, type IndexCursor } from './index-cursor.ts';
import type { EntryFormat, IndexValue } from './index-layout.ts';

/** A merge of cursors that is itself a cursor. It holds one window per source and nothing else. */
export class MergeCursor<Source extends IndexCursor = IndexCursor> implements IndexCursor {
  readonly keySize: number;
  /** Sources that show an entry, the least key first: a binary heap. */
  readonly #heap: Source[] = [];
  readonly #place: ReadonlyMap<Source, number>;
  /** Sources whose entry has been shown, or lost against the one shown; they step before the next. */
  #spent: Source[];
  #winner: Source | undefined;

  /** @param sources not stepped yet, all with keys of the same size; of those with equal entries the first wins */
  constructor(sources: readonly Source[]) {
    this.keySize = sources[0]?.keySize ?? 0;
    assert(
      sources.every((source) => source.keySize === this.keySize),
      'merged indexes have keys of one size',
    );
    this.#spent = [...sources];
    this.#place = new Map(sources.map((source, place) => [source, place]));
  }

  /** The source that shows the present entry. */
  get winner(): Source {
    assert(this.#winner !== undefined, 'the cursor stands on an entry');
    return this.#winner;
  }

  get key(): Buffer {
    return this.winner.key;
  }

  get keyAt(): number {
    return this.winner.keyAt;
  }

  get value(): IndexValue {
    return this.winner.value;
  }

  packName(): string {
    return this.winner.packName();
  }

  format(): EntryFormat {
    return this.winner.format();
  }

  next(): boolean {
    for (const source of this.#spent) if (source.next()) this.#push(source);
    this.#spent.length = 0;
    if (this.#heap.length === 0) {
      this.#winner = undefined;
      return false;
    }
    let winner = this.#pop();
    this.#spent.push(winner);
    while (this.#heap.length > 0 && this.#compare(this.#heap[0]!, winner) === 0) {
      const rival = this.#pop();
      this.#spent.push(rival);
      if (isBetterCursor(rival, winner) || (this.#isBefore(rival, winner) && !isBetterCursor(winner, rival)))
        winner = rival;
    }
    this.#winner = winner;
    return true;
  }

  #isBefore(a: Source, b: Source): boolean {
    return this.#place.get(a)! < this.#place.get(b)!;
  }

  #compare(a: Source, b: Source): number {
    return compareKeys(a.key, a.keyAt, b.key, b.keyAt, this.keySize);
  }

  #push(source: Source): void {
    const heap = this.#heap;
    let at = heap.push(source) - 1;
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (this.#compare(source, heap[parent]!) >= 0) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = source;
  }

  #pop(): Source {
    const heap = this.#heap;
    const top = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && this.#compare(heap[child + 1]!, heap[child]!) < 0) child++;
      if (this.#compare(last, heap[child]!) <= 0) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return top;
  }
}
