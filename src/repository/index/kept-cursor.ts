/** A merge of which only some entries are shown. What is passed over has won all the same: nothing older shows in its place. */
import type { IndexCursor } from './index-cursor.ts';
import type { EntryFormat, IndexValue } from './index-layout.ts';
import type { MergeCursor } from './merge.ts';
import type { TableCursor } from './table-cursor.ts';

export class KeptCursor implements IndexCursor {
  readonly #merged: MergeCursor<TableCursor>;
  readonly #isKept: (merged: MergeCursor<TableCursor>) => boolean;

  constructor(merged: MergeCursor<TableCursor>, isKept: (merged: MergeCursor<TableCursor>) => boolean) {
    this.#merged = merged;
    this.#isKept = isKept;
  }

  get keySize(): number {
    return this.#merged.keySize;
  }

  get key(): Buffer {
    return this.#merged.key;
  }

  get keyAt(): number {
    return this.#merged.keyAt;
  }

  get value(): IndexValue {
    return this.#merged.value;
  }

  packName(): string {
    return this.#merged.packName();
  }

  format(): EntryFormat {
    return this.#merged.format();
  }

  next(): boolean {
    while (this.#merged.next()) if (this.#isKept(this.#merged)) return true;
    return false;
  }
}
