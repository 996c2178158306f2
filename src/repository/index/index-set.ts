/**
 * The index of an open repository: the active index blobs as few local tables, what is found in them, and the writing
 * of new ones. One main thread owns it; workers look into the same files through an `IndexLookup`.
 */
import type { BlobId, BlobStore } from '../../blobs/blob-store.ts';
import type { Clock } from '../../std/clock.ts';
import { hasCode } from '../../std/dray-error.ts';
import type { ContentCodec } from '../content/content-codec.ts';
import type { ContentId, ContentPrefix } from '../content/content-id.ts';
import type { ContentFormat } from '../format/content-format.ts';
import { RepositoryError } from '../repository-error.ts';
import { putCompacted, type CompactOptions } from './compact-blobs.ts';
import { EpochBlobs } from './epoch-blobs.ts';
import { EpochReader } from './epoch-reader.ts';
import type { IndexBlobs, PutIndexOptions } from './index-blobs.ts';
import { IndexCache } from './index-cache.ts';
import type { IndexEntry } from './index-entry.ts';
import { IndexLookup, type IndexLookupLocation } from './index-lookup.ts';
import { IndexMarks } from './index-marks.ts';
import { IndexTables } from './index-tables.ts';
import { LegacyBlobs } from './legacy-blobs.ts';
import { MergeCursor } from './merge.ts';
import { OwnBlobs } from './own-blobs.ts';
import { putMerged, removeReplaced, type OwnMerge } from './own-merge.ts';
import { ReplacedBlobs } from './replaced-blobs.ts';
import type { TableCursor } from './table-cursor.ts';
import type { TableFile } from './table-file.ts';

export interface IndexSetParts {
  readonly store: BlobStore;
  readonly codec: ContentCodec;
  readonly format: Pick<ContentFormat, 'epochs' | 'indexVersion'>;
  /** Of this repository alone; made when it is missing. */
  readonly cacheDirectory: string;
  /** 32 bytes. */
  readonly cacheKey: Uint8Array;
  readonly clock: Clock;
}

interface FlushIndex extends Pick<PutIndexOptions, 'sessionId' | 'check' | 'signal'> {
  readonly entriesPerShardMax?: number | undefined;
}

interface CompactIndex extends CompactOptions {
  /** Of all blobs that are named. */
  readonly lengthBytes: ReadonlyMap<BlobId, number>;
  readonly beside?: readonly BlobId[] | undefined;
}

/** Listings of the active blobs before the one that has gone again and again counts as lost. */
const loadAttemptsMax = 10;
const loadPauseMs = 100;

export class IndexSet implements AsyncDisposable {
  readonly #store: BlobStore;
  readonly #codec: ContentCodec;
  readonly #indexVersion: 1 | 2;
  readonly #clock: Clock;
  readonly #cache: IndexCache;
  readonly #blobs: IndexBlobs;
  readonly #tables: IndexTables;
  readonly #own = new OwnBlobs();
  readonly #replaced = new ReplacedBlobs();
  /** That of the tables: a newer one could hide what they do not yet know. */
  #watermarkSeconds: number | undefined;
  #active: ReadonlySet<BlobId> = new Set();
  #lookup!: IndexLookup;
  /** Whether workers may be looking into the tables. */
  #shared = false;
  /** Replaced since the workers' last location, and before it. */
  #retired: TableFile[] = [];
  #closable: TableFile[] = [];
  /** Changes take turns. */
  #turn: Promise<unknown> = Promise.resolve();

  private constructor({ store, codec, format, cacheDirectory, cacheKey, clock }: IndexSetParts) {
    this.#store = store;
    this.#codec = codec;
    this.#indexVersion = format.indexVersion;
    this.#clock = clock;
    const keySize = 1 + codec.hashLengthBytes;
    this.#cache = new IndexCache({ directory: cacheDirectory, key: cacheKey, keySize, clock });
    const { epochs, indexVersion } = format;
    this.#blobs = epochs.enabled
      ? new EpochBlobs({ store, codec, indexVersion, epochs: new EpochReader(store, { epochs, clock }) })
      : new LegacyBlobs({ store, codec, indexVersion });
    this.#tables = new IndexTables({ store, codec, cache: this.#cache });
  }

  /**
   * Loads the index as the store has it now.
   * @throws {RepositoryError} `corrupt` for a damaged index blob, `index-cache`; {BlobError}
   */
  static async open(parts: IndexSetParts & { readonly signal: AbortSignal }): Promise<IndexSet> {
    const set = new IndexSet(parts);
    try {
      await set.#load(parts.signal);
      return set;
    } catch (error) {
      await set[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The blobs that make up the index, without those that another of them replaces. */
  get activeBlobs(): readonly BlobId[] {
    return [...this.#active].toSorted();
  }

  /** Those that this process has flushed and may still merge. */
  get ownBlobs(): readonly BlobId[] {
    return this.#own.ids;
  }

  get deletionWatermarkSeconds(): number | undefined {
    return this.#watermarkSeconds;
  }

  /** Loads what others have written or maintained since; at least every 15 minutes while working. As `open`. */
  async refresh({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    await this.#inTurn(async () => await this.#load(signal));
  }

  /**
   * Looks at what the local tables have told: a disk that has changed a table since it was opened makes whole contents
   * look missing or damaged.
   * @throws {RepositoryError} `index-cache`
   */
  async verifyTables(): Promise<void> {
    await this.#inTurn(async () => await this.#cache.verifyAgain(this.#tables.files));
  }

  /** Where a content is; also when it is deleted, because it can still be read, unless it was dropped. */
  find(id: ContentId): IndexEntry | undefined {
    return this.#lookup.findId(id);
  }

  /** All contents, or those with a prefix (`''` has none), in key order; deleted ones too, unless they were dropped. */
  *entries({ prefix }: { readonly prefix?: ContentPrefix } = {}): Generator<IndexEntry> {
    const files = this.#tables.files.map((file) => file.retain());
    const watermark = this.deletionWatermarkSeconds ?? -1;
    try {
      const range = prefix === undefined ? {} : { prefix: prefix === '' ? 0 : prefix.charCodeAt(0) };
      const filled = files.filter(({ table }) => table.layout.count > 0);
      const merged = new MergeCursor<TableCursor>(filled.map(({ table }) => table.cursor(range)));
      while (merged.next()) {
        if (merged.value.deleted && merged.value.timestampSeconds <= watermark) continue;
        yield merged.winner.entry();
      }
    } finally {
      for (const file of files) file.release();
    }
  }

  /** What the index says now, held for as long as the marks are. */
  marks(): IndexMarks {
    return new IndexMarks(this.#tables.files, { watermarkSeconds: this.#watermarkSeconds });
  }

  /**
   * Puts blobs that say what these say; for maintenance, which alone may. Reads those that are not on the local disk. The
   * index here is the same afterwards, unless `isDropped` leaves something out: no blob is removed.
   * @param blobs at least one
   * @param options.beside other blobs of the index: what has lost against one of theirs is left out
   * @throws {BlobError} `blob-not-found` when one has gone; as `putCompacted`
   */
  async compact(
    blobs: readonly BlobId[],
    { lengthBytes, beside = [], ...options }: CompactIndex,
  ): Promise<readonly BlobId[]> {
    return await this.#inTurn(async () => {
      const opened: TableFile[] = [];
      const open = async (ids: readonly BlobId[]): Promise<readonly TableFile[]> => {
        const files = await this.#tables.openTogether(ids, { lengthBytes, signal: options.signal });
        opened.push(...files);
        return files.filter(({ table }) => table.layout.count > 0);
      };
      try {
        const sources = { files: await open(blobs), beside: await open(beside) };
        const parts = { store: this.#store, codec: this.#codec, cache: this.#cache, indexVersion: this.#indexVersion };
        return await putCompacted(parts, sources, options);
      } catch (error) {
        if (hasCode(error, 'corrupt')) await this.#cache.verifyAgain(opened);
        throw error;
      } finally {
        for (const file of opened) file.release();
      }
    });
  }

  /**
   * For the workers, all of them. They may use it until they have been given the next one; then call `closeRetired`.
   */
  lookupLocation(): IndexLookupLocation {
    this.#shared = true;
    this.#closable.push(...this.#retired.splice(0));
    return {
      tables: this.#tables.files.map(({ location }) => location),
      deletionWatermarkSeconds: this.deletionWatermarkSeconds,
    };
  }

  /** Every worker uses the latest location now: closes what only older ones name. */
  closeRetired(): void {
    for (const file of this.#closable.splice(0)) file.release();
  }

  /**
   * Makes entries part of the repository's index: durable, and found here, when this resolves. What they refer to is
   * durable already. An abort may leave an index blob that counts.
   * @throws {RepositoryError} `index-conflict`: not written; `index-cache`: written, but not found here; {BlobError}
   */
  async flush(entries: readonly IndexEntry[], options: FlushIndex): Promise<void> {
    if (entries.length === 0) return;
    await this.#inTurn(async () => await this.#flush(entries, options));
  }

  /** Closes every table. No worker, and no pass over the entries, may still be using them. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#turn.catch(() => undefined);
    const files = [...this.#tables.files, ...this.#retired.splice(0), ...this.#closable.splice(0)];
    for (const file of files) file.release();
    this.#tables.clear();
  }

  async #load(signal: AbortSignal): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const { active: listed, lengthBytes, deletionWatermarkSeconds } = await this.#blobs.list({ signal });
      const active = listed.filter((blob) => !this.#replaced.has(blob));
      try {
        const isOwn = (blob: BlobId): boolean => this.#own.has(blob);
        const retired = await this.#tables.load({ active, lengthBytes, isOwn, signal });
        this.#watermarkSeconds = deletionWatermarkSeconds;
        this.#active = new Set(active);
        this.#own.forget(this.#own.ids.filter((blob) => !this.#active.has(blob)));
        this.#tablesChanged(retired);
        await this.#cache.sweep(new Set(this.#tables.files.map(({ path }) => path)));
        return;
      } catch (error) {
        // Maintenance, or another run, has replaced a blob since it was listed.
        if (!hasCode(error, 'blob-not-found')) throw error;
        if (attempt === loadAttemptsMax)
          throw new RepositoryError('corrupt', 'an index blob is missing', { cause: error });
        await this.#clock.sleep(loadPauseMs * 2 ** (attempt - 1), { signal });
      }
    }
  }

  async #flush(
    entries: readonly IndexEntry[],
    { entriesPerShardMax: entriesMax, ...options }: FlushIndex,
  ): Promise<void> {
    const { sessionId, signal } = options;
    const { epoch, blobs } = await this.#blobs.put(entries, { entriesMax, ...options });
    for (const { id, bytes, plain } of blobs) await this.#addOwn(id, { plain, lengthBytes: bytes.length, signal });
    // Sets of several shards belong together under one name; they are large anyway.
    if (blobs.length > 1 || epoch === undefined) this.#own.forget(blobs.map(({ id }) => id));
    if (epoch !== undefined) await this.#mergeOwn({ epoch, sessionId, signal });
  }

  async #addOwn(
    id: BlobId,
    {
      plain,
      lengthBytes,
      signal,
    }: { readonly plain: Uint8Array; readonly lengthBytes: number; readonly signal: AbortSignal },
  ): Promise<void> {
    this.#active = this.#active.union(new Set([id]));
    this.#own.add(id, lengthBytes);
    this.#replaced.keep(id);
    this.#tablesChanged(await this.#tables.addOwn(id, plain, { signal }));
  }

  async #mergeOwn(options: OwnMerge): Promise<void> {
    const { epoch, signal } = options;
    const parts = { store: this.#store, codec: this.#codec, cache: this.#cache, tables: this.#tables };
    for (let merge = this.#own.nextMerge(epoch); merge !== undefined; merge = this.#own.nextMerge(epoch)) {
      const merged = await putMerged({ ...parts, indexVersion: this.#indexVersion }, merge, options);
      if ('gone' in merged) {
        // It is not ours any more.
        this.#own.forget([merged.gone]);
        continue;
      }
      if (!(await this.#blobs.mayMerge(epoch, { signal }))) {
        // The epoch may be compacted by now. Both the merged one and what it holds are there: leave it so.
        this.#own.forget(merge);
        return;
      }
      await this.#addOwn(merged.id, { plain: merged.plain, lengthBytes: merged.bytes.length, signal });
      // It may have come out the same as one that it was made of.
      const replaced = new Set(merge).difference(new Set([merged.id]));
      this.#own.forget(replaced);
      this.#replaced.add(replaced, this.#clock.monotonicMs());
      this.#active = this.#active.difference(replaced);
      this.#tablesChanged(await this.#tables.dropOwn(replaced));
      await removeReplaced(this.#store, this.#replaced.takeDue(epoch, this.#clock.monotonicMs()), { signal });
    }
  }

  #tablesChanged(retired: readonly TableFile[]): void {
    if (this.#shared) this.#retired.push(...retired);
    else for (const file of retired) file.release();
    const tables = this.#tables.files.map(({ table }) => table);
    this.#lookup = new IndexLookup({ tables: [], deletionWatermarkSeconds: this.#watermarkSeconds }, tables);
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.catch(() => undefined).then(work);
    this.#turn = turn;
    return await turn;
  }
}
