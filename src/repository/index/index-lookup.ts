/**
 * Answers what the index says of a content, from several tables at once: the winner of all entries counts, and a
 * deleted winner that is not later than the deletion watermark counts as nothing (Kopia `committed_content_index.go`).
 * Workers build one from a location; the tables belong to the index set of the main thread, which must not close them
 * before every worker has moved on to a newer location.
 */
import { contentKey, type ContentId } from '../content/content-id.ts';
import { isBetter, type IndexEntry } from './index-entry.ts';
import { IndexTable, type IndexTableLocation } from './index-table.ts';

/** Structured-clonable. */
export interface IndexLookupLocation {
  readonly tables: readonly IndexTableLocation[];
  readonly deletionWatermarkSeconds: number | undefined;
}

/** What deduplication and new entries must know of a content. */
export interface ContentState {
  /** A deleted content can still be read, but must not be relied on. */
  readonly deleted: boolean;
  readonly timestampSeconds: number;
}

export class IndexLookup {
  readonly #tables: readonly IndexTable[];
  readonly #watermarkSeconds: number;
  #key: Buffer = Buffer.alloc(0);

  constructor({ tables, deletionWatermarkSeconds }: IndexLookupLocation, opened?: readonly IndexTable[]) {
    this.#tables = opened ?? tables.map((location) => IndexTable.at(location));
    this.#watermarkSeconds = deletionWatermarkSeconds ?? -1;
  }

  /**
   * Without strings, for the hot path.
   * @param prefix character code of the content's prefix, 0 for none
   * @throws {RepositoryError} `corrupt`, `index-cache`
   */
  state(prefix: number, hash: Uint8Array): ContentState | undefined {
    const key = this.#keyOf(prefix, hash);
    let found = false;
    let [deleted, timestampSeconds] = [false, 0];
    for (const table of this.#tables) {
      const value = table.lookup(key);
      if (value === undefined) continue;
      const later = value.timestampSeconds > timestampSeconds;
      if (found && !later && !(value.timestampSeconds === timestampSeconds && deleted)) continue;
      found = true;
      ({ deleted, timestampSeconds } = value);
    }
    if (!found || (deleted && timestampSeconds <= this.#watermarkSeconds)) return undefined;
    return { deleted, timestampSeconds };
  }

  /** True when the content is there and not deleted. */
  isLive(prefix: number, hash: Uint8Array): boolean {
    return this.state(prefix, hash)?.deleted === false;
  }

  /** Where the content is; also when it is deleted, because it can still be read. */
  find(prefix: number, hash: Uint8Array): IndexEntry | undefined {
    return this.#find(this.#keyOf(prefix, hash));
  }

  findId(id: ContentId): IndexEntry | undefined {
    return this.#find(contentKey(id));
  }

  #find(key: Uint8Array): IndexEntry | undefined {
    let winner: IndexEntry | undefined;
    for (const table of this.#tables) {
      const entry = table.find(key);
      if (entry !== undefined && (winner === undefined || isBetter(entry, winner))) winner = entry;
    }
    return winner?.deleted === true && winner.timestampSeconds <= this.#watermarkSeconds ? undefined : winner;
  }

  #keyOf(prefix: number, hash: Uint8Array): Buffer {
    if (this.#key.length !== hash.length + 1) this.#key = Buffer.alloc(hash.length + 1);
    this.#key[0] = prefix;
    this.#key.set(hash, 1);
    return this.#key;
  }
}
