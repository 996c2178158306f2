/**
 * The index as it is at one moment, with a bit for each entry and each kind of mark: which contents a walk over all
 * snapshots has come to. A map of a million ids would take hundreds of MiB; the bits take 125 KB for each kind. A key that
 * stands in several tables is marked in all of them, so that whichever entry wins tells.
 *
 * What others write, delete or drop meanwhile changes nothing here: the tables are held until this is disposed of.
 */
import { contentKey, type ContentId } from '../content/content-id.ts';
import type { IndexEntry } from './index-entry.ts';
import { MergeCursor } from './merge.ts';
import type { TableCursor } from './table-cursor.ts';
import type { TableFile } from './table-file.ts';

/** `used`: a snapshot needs it. `list`, `directory`: what it names has been walked. */
export type Mark = 'used' | 'list' | 'directory';

/** `missing`: the index does not have the content, or has dropped it. `first`: it was not marked so before. */
export type Marked = 'missing' | 'first' | 'again';

interface MarkedTable {
  readonly file: TableFile;
  readonly bits: Readonly<Record<Mark, Uint8Array>>;
}

export class IndexMarks implements Disposable {
  readonly #tables: readonly MarkedTable[];
  readonly #watermarkSeconds: number;

  /** @param files held from here on */
  constructor(files: readonly TableFile[], { watermarkSeconds }: { readonly watermarkSeconds: number | undefined }) {
    const filled = files.filter(({ table }) => table.layout.count > 0);
    this.#tables = filled.map((file) => {
      const bytes = Math.ceil(file.table.layout.count / 8);
      const bits = { used: new Uint8Array(bytes), list: new Uint8Array(bytes), directory: new Uint8Array(bytes) };
      return { file: file.retain(), bits };
    });
    this.#watermarkSeconds = watermarkSeconds ?? -1;
  }

  /** @throws {RepositoryError} `corrupt`, `index-cache` */
  mark(id: ContentId, mark: Mark): Marked {
    const key = contentKey(id);
    let marked: Marked = 'missing';
    let [newest, deleted] = [-1, false];
    for (const { file, bits } of this.#tables) {
      const value = file.table.lookup(key);
      if (value === undefined) continue;
      const { timestampSeconds, deleted: isDeleted } = value;
      if (timestampSeconds > newest) [newest, deleted] = [timestampSeconds, isDeleted];
      else if (timestampSeconds === newest && !isDeleted) deleted = false;
      const first = setBit(bits[mark], file.table.foundOrdinal);
      marked = marked === 'first' || first ? 'first' : 'again';
    }
    return deleted && newest <= this.#watermarkSeconds ? 'missing' : marked;
  }

  /** All contents in key order, deleted ones too unless they were dropped, and whether they are marked as used. */
  *entries(): Generator<{ readonly entry: IndexEntry; readonly used: boolean }> {
    const cursors = this.#tables.map(({ file }) => file.table.cursor());
    const merged = new MergeCursor<TableCursor>(cursors);
    while (merged.next()) {
      const { deleted, timestampSeconds } = merged.value;
      if (deleted && timestampSeconds <= this.#watermarkSeconds) continue;
      const { winner } = merged;
      const { bits } = this.#tables[cursors.indexOf(winner)]!;
      yield { entry: winner.entry(), used: hasBit(bits.used, winner.ordinal) };
    }
  }

  [Symbol.dispose](): void {
    for (const { file } of this.#tables) file.release();
  }
}

/** @returns true when it was not set */
function setBit(bits: Uint8Array, at: number): boolean {
  const mask = 1 << (at & 7);
  const byte = at >>> 3;
  const before = bits[byte]!;
  bits[byte] = before | mask;
  return (before & mask) === 0;
}

function hasBit(bits: Uint8Array, at: number): boolean {
  return (bits[at >>> 3]! & (1 << (at & 7))) !== 0;
}
