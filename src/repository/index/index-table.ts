/**
 * One index, read by position and searched without loading it. Keys are hashes, so within a prefix they are spread
 * evenly: the search guesses where a key must stand, reads the 4 KiB around it, and guesses again between what it has
 * learned. A million entries take two reads. Where keys are not spread evenly it falls back to halving.
 *
 * Memory: one block and a bounded number of pack names per table, and the filter (1.5 bytes an entry), which is shared.
 */
import { compareKeys } from './compare-keys.ts';
import { entryFormat, toEntry, type EntrySource } from './decode-entry.ts';
import { FileIndexBytes, MemoryIndexBytes, type IndexBytes } from './index-bytes.ts';
import type { IndexEntry } from './index-entry.ts';
import {
  decodeIndexValue,
  emptyIndexValue,
  indexHeaderBytes,
  parseIndexLayout,
  type EntryFormat,
  type IndexLayout,
  type IndexValue,
} from './index-layout.ts';
import { decodeFormats, formatRecordBytes } from './index-v2.ts';
import { KeyFilter } from './key-filter.ts';
import { PackNames } from './pack-names.ts';
import { TableCursor } from './table-cursor.ts';

/** How another thread of this process opens the same table: structured-clonable. */
export interface IndexTableLocation {
  /** Valid in every thread of the process until the opener closes it. */
  readonly fd: number;
  readonly path: string;
  readonly layout: IndexLayout;
  readonly filter: SharedArrayBuffer | undefined;
}

/** What one read of a search fetches, bytes. */
const blockBytes = 4096;
/** Guesses before the search halves instead. */
const guessesMax = 6;

export class IndexTable {
  readonly layout: IndexLayout;
  readonly #bytes: IndexBytes;
  readonly #filter: KeyFilter | undefined;
  readonly #source: EntrySource;
  readonly #names: PackNames;
  readonly #block: Buffer;
  /** The number of the first entry in `#block`. */
  #blockFirst = 0;
  #foundOrdinal = -1;
  readonly #value: IndexValue = emptyIndexValue();
  /** By prefix byte: where its entries begin and end. At most 256. */
  readonly #ranges = new Map<number, { readonly low: number; readonly high: number }>();

  /** @throws {RepositoryError} `corrupt`, `index-cache` */
  constructor(bytes: IndexBytes, layout: IndexLayout, filter?: KeyFilter) {
    this.layout = layout;
    this.#bytes = bytes;
    this.#filter = filter;
    this.#names = new PackNames(bytes, layout);
    const formats = Buffer.alloc(layout.formatCount * formatRecordBytes);
    bytes.read(layout.formatsAt, formats, formats.length);
    this.#source = { bytes, layout, formats: decodeFormats(formats) };
    this.#block = Buffer.alloc(Math.max(1, Math.floor(blockBytes / layout.stride)) * layout.stride);
  }

  /** Opens a table that the main thread has opened and verified. */
  static at({ fd, path, layout, filter }: IndexTableLocation): IndexTable {
    const shared = filter === undefined ? undefined : new KeyFilter(filter);
    return new IndexTable(new FileIndexBytes(fd, path), layout, shared);
  }

  /** @param bytes an index as it was decrypted; borrowed for as long as the table is used */
  static inMemory(bytes: Uint8Array): IndexTable {
    const layout = parseIndexLayout(bytes.subarray(0, indexHeaderBytes), bytes.length);
    return new IndexTable(new MemoryIndexBytes(bytes), layout);
  }

  /**
   * Finds the value of a key, without an object or a string.
   * @returns a scratch object that the next call overwrites
   */
  lookup(key: Uint8Array): IndexValue | undefined {
    if (key.length !== this.layout.keySize) return undefined;
    if (this.#filter?.mayHave(key) === false) return undefined;
    const at = this.#seek(key);
    if (at === undefined) return undefined;
    decodeIndexValue(this.layout, this.#block, at + this.layout.keySize, this.#value);
    this.#foundOrdinal = this.#blockFirst + at / this.layout.stride;
    return this.#value;
  }

  find(key: Uint8Array): IndexEntry | undefined {
    const value = this.lookup(key);
    return value === undefined ? undefined : this.entryOf(key, value);
  }

  /** @throws {RepositoryError} `corrupt` or, from a local file, `index-cache`, when the value names a pack or format that this index does not have. */
  entryOf(key: Uint8Array, value: IndexValue): IndexEntry {
    return toEntry(this.#source, key, value, { packBlob: this.packName(value), format: this.formatOf(value) });
  }

  packName(value: IndexValue): IndexEntry['packBlob'] {
    return this.#names.of(value);
  }

  formatOf(value: IndexValue): EntryFormat {
    return entryFormat(this.#source, value.format);
  }

  /** All entries in key order, or those with one prefix byte. */
  cursor({ prefix }: { readonly prefix?: number } = {}): TableCursor {
    const range = prefix === undefined ? { low: 0, high: this.layout.count } : this.#range(prefix);
    return new TableCursor(this.#source, range);
  }

  /** Those whose key is at least `from` and less than `to`; without one of them, from the first or to the last. */
  cursorBetween(from: Uint8Array | undefined, to: Uint8Array | undefined): TableCursor {
    const low = from === undefined ? 0 : this.#firstFrom(from);
    const high = to === undefined ? this.layout.count : this.#firstFrom(to);
    if (low > high) throw this.#bytes.damage('an index has its entries out of order');
    return new TableCursor(this.#source, { low, high });
  }

  /** The number of the entry that `lookup` has found last. */
  get foundOrdinal(): number {
    return this.#foundOrdinal;
  }

  *entries(options: { readonly prefix?: number } = {}): Generator<IndexEntry> {
    const cursor = this.cursor(options);
    while (cursor.next()) yield cursor.entry();
  }

  /** Where in `#block` the entry with this key stands. */
  #seek(key: Uint8Array): number | undefined {
    const { stride, keySize } = this.layout;
    const block = this.#block;
    const perBlock = block.length / stride;
    let { low, high } = this.#range(key[0]!);
    let [lowValue, highValue] = [0, 2 ** 48];
    const wanted = leadingValue(key, 0, keySize);
    for (let guesses = 0; low < high; guesses++) {
      const share = guesses < guessesMax ? (wanted - lowValue) / (highValue - lowValue) : 0.5;
      const guess = low + Math.floor((high - low) * Math.min(1, Math.max(0, Number.isNaN(share) ? 0.5 : share)));
      const first = Math.max(low, Math.min(guess - (perBlock >>> 1), high - perBlock));
      const count = Math.min(perBlock, high - first);
      this.#read(first, count);
      if (compareKeys(key, 0, block, 0, keySize) < 0) {
        high = first;
        highValue = leadingValue(block, 0, keySize);
      } else if (compareKeys(key, 0, block, (count - 1) * stride, keySize) > 0) {
        low = first + count;
        lowValue = leadingValue(block, (count - 1) * stride, keySize);
      } else {
        return this.#searchBlock(key, count);
      }
    }
    return undefined;
  }

  #searchBlock(key: Uint8Array, count: number): number | undefined {
    const { stride, keySize } = this.layout;
    let [low, high] = [0, count];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const order = compareKeys(key, 0, this.#block, middle * stride, keySize);
      if (order === 0) return middle * stride;
      if (order < 0) high = middle;
      else low = middle + 1;
    }
    return undefined;
  }

  #range(prefix: number): { readonly low: number; readonly high: number } {
    const known = this.#ranges.get(prefix);
    if (known !== undefined) return known;
    const range = { low: this.#firstWithPrefix(prefix), high: this.#firstWithPrefix(prefix + 1) };
    if (range.low > range.high) throw this.#bytes.damage(`an index has its entries of prefix ${prefix} out of order`);
    this.#ranges.set(prefix, range);
    return range;
  }

  #firstFrom(key: Uint8Array): number {
    let [low, high] = [0, this.layout.count];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      this.#read(middle, 1);
      if (compareKeys(this.#block, 0, key, 0, this.layout.keySize) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #firstWithPrefix(prefix: number): number {
    let [low, high] = [0, this.layout.count];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      this.#read(middle, 1);
      if (this.#block[0]! < prefix) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #read(first: number, count: number): void {
    this.#blockFirst = first;
    this.#bytes.read(this.layout.entriesAt + first * this.layout.stride, this.#block, count * this.layout.stride);
  }
}

/** The first six bytes of a key's hash as a number below 2^48. */
function leadingValue(key: Uint8Array, at: number, keySize: number): number {
  let value = 0;
  for (let i = 1; i <= 6; i++) value = value * 256 + (i < keySize ? key[at + i]! : 0);
  return value;
}
