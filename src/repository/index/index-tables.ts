/**
 * The local tables of the active index blobs: opens those that are on disk, fetches what is missing, and merges, so
 * that few are open however many blobs there are. Blobs that this process has flushed and may still merge (its own)
 * are kept in tables apart from all others: they are replaced soon, and must not take a table of a million entries
 * with them.
 */
import type { BlobId, BlobStore } from '../../blobs/blob-store.ts';
import type { ContentCodec } from '../content/content-codec.ts';
import { mapConcurrent } from '../../std/map-concurrent.ts';
import { Semaphore } from '../../std/semaphore.ts';
import type { IndexCache } from './index-cache.ts';
import { planMerge } from './plan-merge.ts';
import type { TableFile } from './table-file.ts';

/** Tables kept open; 12 together. */
const otherTablesMax = 7;
const ownTablesMax = 5;
/** Tables open at once while a set is put together. */
const pendingMax = 32;
/** Tables being opened at once, of which most are fetched on the first occasion; and the bytes of what is fetched. */
const openingsMax = 32;
const fetchBytesMax = 16 * 1024 * 1024;

export interface IndexTablesParts {
  readonly store: BlobStore;
  readonly codec: ContentCodec;
  readonly cache: IndexCache;
}

export interface ActiveBlobs {
  readonly active: readonly BlobId[];
  readonly lengthBytes: ReadonlyMap<BlobId, number>;
  /** True for blobs of this process. */
  readonly isOwn: (blob: BlobId) => boolean;
  readonly signal: AbortSignal;
}

export class IndexTables {
  readonly #store: BlobStore;
  readonly #codec: ContentCodec;
  readonly #cache: IndexCache;
  #own: readonly TableFile[] = [];
  #others: readonly TableFile[] = [];

  constructor({ store, codec, cache }: IndexTablesParts) {
    this.#store = store;
    this.#codec = codec;
    this.#cache = cache;
  }

  get files(): readonly TableFile[] {
    return [...this.#others, ...this.#own];
  }

  /** Forgets all tables; they stay open. */
  clear(): void {
    this.#own = [];
    this.#others = [];
  }

  /**
   * Makes the tables cover exactly the active blobs.
   * @returns tables that are no longer used, to be released when nobody looks into them
   * @throws {BlobError} `blob-not-found` when an active blob has gone; nothing has changed then
   */
  async load({ active, lengthBytes, isOwn, signal }: ActiveBlobs): Promise<readonly TableFile[]> {
    const wanted = new Set(active);
    const kept = this.files.filter((file) => file.covers.every((blob) => wanted.has(blob)));
    const missing = wanted.difference(new Set(kept.flatMap(({ covers }) => covers)));
    const opened = new Set<TableFile>();
    try {
      const parts = { signal, lengthBytes, opened };
      const own = await this.#openAll([...missing].filter(isOwn), parts);
      const others = await this.#openAll(
        [...missing].filter((blob) => !isOwn(blob)),
        parts,
      );
      own.push(...kept.filter((file) => file.covers.every(isOwn)));
      others.push(...kept.filter((file) => !file.covers.every(isOwn)));
      const fewOwn = await this.#consolidate(own, { ...parts, tablesMax: ownTablesMax });
      const fewOthers = await this.#consolidate(others, { ...parts, tablesMax: otherTablesMax });
      return this.#replace({ own: fewOwn, others: fewOthers });
    } catch (error) {
      for (const file of opened) file.release();
      throw error;
    }
  }

  /** Takes in a blob of this process that has just become durable. @returns as `load` */
  async addOwn(
    blob: BlobId,
    index: Uint8Array,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<readonly TableFile[]> {
    const file = await this.#cache.add(blob, index, { signal });
    const opened = new Set([file]);
    try {
      const own = await this.#consolidate([...this.#own, file], { opened, signal, tablesMax: ownTablesMax });
      return this.#replace({ own, others: this.#others });
    } catch (error) {
      for (const one of opened) one.release();
      throw error;
    }
  }

  /**
   * Lets go of tables that cover nothing but removed blobs. Others that cover them stay until the next `load`: what
   * they say is still right, because the blobs were replaced by one that says the same.
   */
  async dropOwn(removed: ReadonlySet<BlobId>): Promise<readonly TableFile[]> {
    for (const blob of removed) await this.#cache.forget([blob]);
    const own = this.#own.filter((file) => !file.covers.every((blob) => removed.has(blob)));
    return this.#replace({ own, others: this.#others });
  }

  /** The table of one blob, from disk or from the store; the caller releases it. */
  async openBlob(blob: BlobId, { signal }: { readonly signal: AbortSignal }): Promise<TableFile> {
    return (await this.#cache.open([blob])) ?? (await this.#fetch(blob, { signal }));
  }

  /** A few tables that cover these blobs, apart from those in use; the caller releases them. As `openBlob`. */
  async openTogether(
    blobs: readonly BlobId[],
    { lengthBytes, signal }: Pick<Opening, 'lengthBytes' | 'signal'>,
  ): Promise<readonly TableFile[]> {
    const opened = new Set<TableFile>();
    try {
      const files = await this.#openAll(blobs, { opened, lengthBytes, signal });
      return await this.#consolidate(files, { opened, signal, tablesMax: pendingMax });
    } catch (error) {
      for (const file of opened) file.release();
      throw error;
    }
  }

  #replace(next: { readonly own: readonly TableFile[]; readonly others: readonly TableFile[] }): readonly TableFile[] {
    const before = this.files;
    this.#own = next.own;
    this.#others = next.others;
    const now = new Set(this.files);
    return before.filter((file) => !now.has(file));
  }

  /** Tables that cover these blobs, each once; every one that was opened is in `opened`. */
  async #openAll(blobs: readonly BlobId[], { opened, lengthBytes, signal }: Opening): Promise<TableFile[]> {
    const missing = new Set(blobs);
    const files: TableFile[] = [];
    if (missing.size > 1) await this.#openMerged(missing, files, opened);
    let pending: TableFile[] = [];
    const room = new Semaphore(fetchBytesMax);
    const tables = mapConcurrent(missing, { limit: openingsMax, signal }, async (blob, call) => {
      const cached = await this.#cache.open([blob]);
      using _room = cached === undefined ? await room.acquire(lengthBytes.get(blob) ?? 0, call) : undefined;
      const file = cached ?? (await this.#fetch(blob, call));
      opened.add(file);
      return file;
    });
    for await (const file of tables) {
      pending.push(file);
      if (pending.length < pendingMax) continue;
      files.push(await this.#merge(pending, { opened, signal }));
      pending = [];
    }
    return [...files, ...pending];
  }

  /** Opens merged tables that cover nothing but what is missing, the largest first, and strikes it out. */
  async #openMerged(missing: Set<BlobId>, files: TableFile[], opened: Set<TableFile>): Promise<void> {
    const merged = await this.#cache.merged();
    for (const covers of merged.toSorted((a, b) => b.length - a.length)) {
      if (!covers.every((blob) => missing.has(blob))) continue;
      const file = await this.#cache.open(covers);
      if (file === undefined) continue;
      opened.add(file);
      files.push(file);
      for (const blob of covers) missing.delete(blob);
    }
  }

  async #fetch(blob: BlobId, { signal }: { readonly signal: AbortSignal }): Promise<TableFile> {
    const sealed = await this.#store.get(blob, { signal });
    return await this.#cache.add(blob, this.#codec.openNamed(blob, sealed), { signal });
  }

  async #consolidate(
    files: readonly TableFile[],
    options: Merging & { readonly tablesMax: number },
  ): Promise<TableFile[]> {
    // Tables without entries have nothing to merge and cost nothing.
    const empty = files.filter(({ table }) => table.layout.count === 0);
    let filled = files.filter(({ table }) => table.layout.count > 0);
    for (;;) {
      const plan = planMerge(
        filled.map(({ table }) => table.layout.count),
        options,
      );
      if (plan.length === 0) return [...empty, ...filled];
      const merged = await this.#merge(
        plan.map((number) => filled[number]!),
        options,
      );
      filled = [...filled.filter((_, number) => !plan.includes(number)), merged];
    }
  }

  async #merge(files: readonly TableFile[], { opened, signal }: Merging): Promise<TableFile> {
    const merged = await this.#cache.merge(files, { signal });
    opened.add(merged);
    for (const file of files) {
      if (opened.delete(file)) file.release();
      // The larger one serves wherever the smaller did. Tables of single blobs stay: they survive what is merged next.
      if (file.covers.length > 1) await this.#cache.forget(file.covers);
    }
    return merged;
  }
}

interface Merging {
  /** Opened in this call and seen by nobody else yet. */
  readonly opened: Set<TableFile>;
  readonly signal: AbortSignal;
}

interface Opening extends Merging {
  readonly lengthBytes: ReadonlyMap<BlobId, number>;
}
