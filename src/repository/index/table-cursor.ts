/** One pass over a table, or over one prefix of it, in reads of 64 KiB. */
import type { BlobId } from '../../blobs/blob-store.ts';
import { checkPrefix, entryFormat, toEntry, type EntrySource } from './decode-entry.ts';
import type { IndexCursor } from './index-cursor.ts';
import type { IndexEntry } from './index-entry.ts';
import {
  decodeIndexValue,
  emptyIndexValue,
  type EntryFormat,
  type IndexLayout,
  type IndexValue,
} from './index-layout.ts';
import { PackNames } from './pack-names.ts';

const windowBytes = 64 * 1024;

export class TableCursor implements IndexCursor {
  readonly keySize: number;
  readonly key: Buffer;
  readonly value: IndexValue = emptyIndexValue();
  keyAt = 0;
  readonly #source: EntrySource;
  readonly #layout: IndexLayout;
  readonly #names: PackNames;
  /** Entries not yet shown, the window included. */
  #left: number;
  /** Number of the entry after the last that is shown. */
  readonly #high: number;
  /** Position of the entry after the window. */
  #windowEnd: number;
  /** Bytes of the window that hold entries. */
  #filled = 0;

  /** @param range the entries to show, by number */
  constructor(source: EntrySource, range: { readonly low: number; readonly high: number }) {
    const { bytes, layout } = source;
    this.#source = source;
    this.#layout = layout;
    this.#names = new PackNames(bytes, layout, { forPass: true });
    this.#left = range.high - range.low;
    this.#high = range.high;
    this.#windowEnd = layout.entriesAt + range.low * layout.stride;
    this.keySize = layout.keySize;
    const entriesPerWindow = Math.max(1, Math.min(this.#left, Math.floor(windowBytes / layout.stride)));
    this.key = Buffer.alloc(entriesPerWindow * layout.stride);
    this.keyAt = -layout.stride;
  }

  next(): boolean {
    const { stride, keySize } = this.#layout;
    if (this.#left === 0) return false;
    this.keyAt += stride;
    if (this.keyAt >= this.#filled) this.#fill();
    this.#left--;
    decodeIndexValue(this.#layout, this.key, this.keyAt + keySize, this.value);
    return true;
  }

  /** The present entry's number in its table. */
  get ordinal(): number {
    return this.#high - this.#left - 1;
  }

  packName(): BlobId {
    return this.#names.of(this.value);
  }

  format(): EntryFormat {
    return entryFormat(this.#source, this.value.format);
  }

  /** @throws {RepositoryError} what `damage` of its bytes makes, when the present entry cannot be turned into an `IndexEntry`. */
  check(): void {
    checkPrefix(this.#source.bytes, this.key[this.keyAt]!);
    this.packName();
    this.format();
  }

  /** The present entry, as an object that stays. */
  entry(): IndexEntry {
    const key = this.key.subarray(this.keyAt, this.keyAt + this.keySize);
    return toEntry(this.#source, key, this.value, { packBlob: this.packName(), format: this.format() });
  }

  #fill(): void {
    this.#filled = Math.min(this.#left * this.#layout.stride, this.key.length);
    this.#source.bytes.read(this.#windowEnd, this.key, this.#filled);
    this.#windowEnd += this.#filled;
    this.keyAt = 0;
  }
}
