/**
 * The reads of a worker, in the order in which they are wanted. What the page cache holds is read at the moment it is
 * wanted: a copy of a chunk is then still in the processor's cache when it is hashed, and costs a third of a read by way
 * of the thread pool. What must be waited for is read ahead, in long pieces, as many as there are slots.
 *
 * A slot belongs to a read until that settles, also after an abort; a piece handed out is the caller's until the next.
 */
import assert from 'node:assert/strict';

import { AlignedMemory } from '../kernel/aligned-memory.ts';
import type { BlockSource } from '../volume/block-source.ts';
import { extent, type Extent } from '../volume/extent.ts';

/** A read that waits, and the size of a slot. */
const pieceBytesMax = 4 * 1024 * 1024;
/** Reads from the page cache: a leaf. */
const cachedPieceBytes = 1024 * 1024;

export interface Piece {
  readonly range: Extent;
  /** Aligned; holds the range, and has room behind a short last leaf to fill it up. */
  readonly slot: Uint8Array;
}

export interface ReadAheadOptions {
  /** Pieces of 4 MiB held at once, the one handed out included. */
  readonly slots: number;
  readonly signal: AbortSignal;
}

interface Begun extends Piece {
  readonly cached: boolean;
  readonly done: Promise<void>;
}

export class ReadAhead {
  readonly #source: BlockSource;
  readonly #signal: AbortSignal;
  readonly #free: Uint8Array[];
  readonly #wanted: Extent[] = [];
  readonly #begun: Begun[] = [];
  #last: Uint8Array | undefined;

  constructor(source: BlockSource, { slots, signal }: ReadAheadOptions) {
    this.#source = source;
    this.#signal = signal;
    const memory = AlignedMemory.allocate({ slotBytes: pieceBytesMax, slots });
    this.#free = Array.from({ length: slots }, (_, slot) => memory.slot(slot));
  }

  /** These will be asked for next; each begins at a leaf. */
  expect(extents: readonly Extent[]): void {
    this.#wanted.push(...extents.filter(({ lengthBytes }) => lengthBytes > 0));
  }

  /**
   * The next piece of what was announced: never of two extents, and whole leaves unless it ends one. One call at a time.
   * @throws {VolumeError} as the source's `read`
   */
  async next(): Promise<Piece> {
    if (this.#last !== undefined) this.#free.push(this.#last);
    this.#last = undefined;
    this.#signal.throwIfAborted();
    if (this.#begun.length === 0) this.#begin();
    const piece = this.#begun.shift();
    assert(piece !== undefined, 'nothing was announced');
    if (!piece.cached) {
      while (this.#free.length > 0 && this.#wanted.length > 0) this.#begin();
      await piece.done;
    }
    this.#last = piece.slot;
    return piece;
  }

  #begin(): void {
    const [wanted] = this.#wanted;
    const slot = this.#free.pop();
    if (wanted === undefined || slot === undefined) return;
    const short = extent(wanted.offset, Math.min(cachedPieceBytes, wanted.lengthBytes));
    const cached = this.#source.readCached(short, slot);
    const range = cached ? short : extent(wanted.offset, Math.min(pieceBytesMax, wanted.lengthBytes));
    const done = cached ? Promise.resolve() : this.#source.read(range, slot, { signal: this.#signal });
    done.catch(() => undefined);
    this.#begun.push({ range, slot, cached, done });
    const restBytes = wanted.lengthBytes - range.lengthBytes;
    if (restBytes > 0) this.#wanted[0] = extent(wanted.offset + range.lengthBytes, restBytes);
    else this.#wanted.shift();
  }
}
