/**
 * One pass over index entries in key order, without an object per entry: the sources of merges and of encoders. A
 * cursor shows one entry at a time; everything it shows is overwritten by the next step.
 */
import { contentKey } from '../content/content-id.ts';
import type { IndexEntry } from './index-entry.ts';
import { emptyIndexValue, type EntryFormat, type IndexValue } from './index-layout.ts';

export interface IndexCursor {
  /** Moves to the next entry; false at the end. Before the first call there is no entry. */
  next(): boolean;
  /** Bytes of each key. */
  readonly keySize: number;
  /** The present key is `key[keyAt .. keyAt + keySize]`. */
  readonly key: Buffer;
  readonly keyAt: number;
  /** The present value. `pack` and `format` mean something only to the cursor itself. */
  readonly value: IndexValue;
  packName(): string;
  format(): EntryFormat;
}

/** True when `a` wins over `b` for the same key; the rule of `isBetter`. */
export function isBetterCursor(a: IndexCursor, b: IndexCursor): boolean {
  const [x, y] = [a.value, b.value];
  if (x.timestampSeconds !== y.timestampSeconds) return x.timestampSeconds > y.timestampSeconds;
  if (x.deleted !== y.deleted) return !x.deleted;
  return a.packName() > b.packName();
}

/** Entries that are already sorted by content id (which sorts as the key does) and unique. */
export class EntryCursor implements IndexCursor {
  readonly keySize: number;
  readonly keyAt = 0;
  key: Buffer = Buffer.alloc(0);
  readonly value: IndexValue = emptyIndexValue();
  readonly #entries: readonly IndexEntry[];
  #at = -1;

  constructor(entries: readonly IndexEntry[], keySize: number) {
    this.#entries = entries;
    this.keySize = keySize;
  }

  next(): boolean {
    const entry = this.#entries[++this.#at];
    if (entry === undefined) return false;
    this.key = contentKey(entry.contentId);
    this.value.timestampSeconds = entry.timestampSeconds;
    this.value.deleted = entry.deleted;
    this.value.packOffset = entry.packOffset;
    this.value.packedLength = entry.packedLength;
    this.value.originalLength = entry.originalLength;
    return true;
  }

  packName(): string {
    return this.#entries[this.#at]!.packBlob;
  }

  format(): EntryFormat {
    return this.#entries[this.#at]!;
  }
}
