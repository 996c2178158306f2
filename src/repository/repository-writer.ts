/**
 * One writing session of a repository: contents with dedup, pending index entries, and the flush that makes them
 * count. Order, which a crash may cut anywhere (Kopia `sessions.go`, `content_manager.go`):
 *
 *   session marker → packs → index blob → marker removed
 *
 * So an index names only durable packs, and a pack without index is protected by its marker until it is too old to
 * matter. Nothing here overwrites; a crash leaves unreferenced packs, which maintenance removes. From the first flush
 * on the marker of the session after next is put ahead of time, so that a flush need not wait for it: a crash leaves
 * two markers then.
 */
import type { BlobId, BlobStore } from '../blobs/blob-store.ts';
import type { Clock } from '../std/clock.ts';
import type { Rng } from '../std/rng.ts';
import type { CompressorName } from './content/compression.ts';
import type { ContentCodec } from './content/content-codec.ts';
import { contentIdOf, type ContentId, type ContentPrefix } from './content/content-id.ts';
import { encodeSessionMarker, newSessionId } from './content/session.ts';
import type { ContentFormat } from './format/content-format.ts';
import type { IndexEntry } from './index/index-entry.ts';
import type { IndexSet } from './index/index-set.ts';
import { PackWriter } from './pack/pack-writer.ts';
import type { ContentWriter } from './object/content-access.ts';

export interface RepositoryWriterParts {
  readonly store: BlobStore;
  readonly codec: ContentCodec;
  readonly format: ContentFormat;
  readonly index: IndexSet;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly identity: { readonly userName: string; readonly host: string };
}

/** Buffers of the metadata packs. Larger contents get a buffer of their own for as long as they travel. */
const packBufferBytes = 1024 * 1024;
const packBuffers = 2;

export class RepositoryWriter implements ContentWriter, AsyncDisposable {
  readonly #parts: RepositoryWriterParts;
  readonly #signal: AbortSignal;
  readonly #packs = new Map<'p' | 'q', PackWriter>();
  /** Written since the last flush, so not yet found in the index. */
  readonly #pendingIds = new Set<ContentId>();
  #pendingEntries: IndexEntry[] = [];
  #marker: BlobId;
  #sessionId: string;
  /** The session that the next flush goes on in; its marker is being put. */
  #prepared: Promise<Session> | undefined;
  /** Packs of this run that no index blob was ever asked to name. */
  readonly #unnamedPacks = new Set<BlobId>();
  /** Writes take turns: packs are filled by one at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(parts: RepositoryWriterParts, session: Session, signal: AbortSignal) {
    this.#parts = parts;
    this.#signal = signal;
    this.#sessionId = session.id;
    this.#marker = session.marker;
  }

  /** Starts a session; its marker is durable when this resolves. */
  static async begin(
    parts: RepositoryWriterParts,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<RepositoryWriter> {
    return new RepositoryWriter(parts, await putMarker(parts, signal), signal);
  }

  get sessionId(): string {
    return this.#sessionId;
  }

  get signal(): AbortSignal {
    return this.#signal;
  }

  /** Stores a content unless the repository has it. `plain` is free again when the promise resolves. */
  async write(prefix: ContentPrefix, plain: Uint8Array): Promise<ContentId> {
    return await this.#inTurn(async () => {
      const id = contentIdOf(prefix, this.#parts.codec.hash(plain));
      if (this.#pendingIds.has(id)) return id;
      const known = this.#parts.index.find(id);
      if (known !== undefined && !known.deleted) return id;
      await this.#pack(prefix).add(id, plain, this.#compressor(prefix), known?.timestampSeconds);
      this.#pendingIds.add(id);
      return id;
    });
  }

  /** Takes over the entries of packs that workers have made durable in this session or the next. */
  addEntries(entries: readonly IndexEntry[]): void {
    this.#pendingEntries.push(...entries);
    for (const { packBlob } of entries) this.#unnamedPacks.add(packBlob);
  }

  /** Marks a content as deleted from the next flush on. Unknown or deleted contents are left alone. */
  delete(id: ContentId): void {
    const known = this.#parts.index.find(id);
    if (known === undefined || known.deleted) return;
    const nowSeconds = Math.floor(this.#parts.clock.nowMs() / 1000);
    const timestampSeconds = Math.max(nowSeconds, known.timestampSeconds + 1);
    this.#pendingEntries.push({ ...known, deleted: true, timestampSeconds });
  }

  /**
   * Makes everything written so far findable, and goes on in a new session.
   * @param options.sealOthers called with the next session's id, whose marker is durable; resolves when all packs that
   *   others write in the present session are durable and handed to `addEntries`.
   */
  async flush(options: { readonly sealOthers?: (nextSessionId: string) => Promise<void> } = {}): Promise<void> {
    await this.#inTurn(async () => await this.#flush(options.sealOthers, true));
  }

  /** The last flush: no further session is begun. */
  async finish(options: { readonly sealOthers?: (sessionId: string) => Promise<void> } = {}): Promise<void> {
    await this.#inTurn(async () => await this.#flush(options.sealOthers, false));
  }

  /**
   * Gives back the room of this run's packs that no index can name, for a run that has filled the store. Best effort;
   * others must have ended their packs. Only packs made here: an entry that marks a content as deleted names its old one.
   */
  async discard({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    for (const pack of this.#unnamedPacks) await this.#parts.store.remove(pack, { signal }).catch(() => undefined);
    this.#unnamedPacks.clear();
    this.#pendingEntries = [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#turn.catch(() => undefined);
    await this.#prepared?.catch(() => undefined);
    for (const pack of this.#packs.values()) await pack[Symbol.asyncDispose]();
  }

  async #flush(sealOthers: ((id: string) => Promise<void>) | undefined, goOn: boolean): Promise<void> {
    const { store, index } = this.#parts;
    const ended = { id: this.#sessionId, marker: this.#marker };
    const prepared = this.#prepared;
    this.#prepared = undefined;
    const next = goOn ? await (prepared ?? putMarker(this.#parts, this.#signal)) : ended;
    await sealOthers?.(next.id);
    for (const pack of this.#packs.values()) await pack.seal(next.id);
    // More may be added meanwhile; what was not flushed stays pending.
    const entries = [...this.#pendingEntries];
    for (const { packBlob } of entries) this.#unnamedPacks.delete(packBlob);
    if (entries.length > 0) await index.flush(entries, { sessionId: ended.id, signal: this.#signal });
    this.#pendingEntries.splice(0, entries.length);
    this.#pendingIds.clear();
    await store.remove(ended.marker, { signal: this.#signal });
    if (!goOn) {
      // Nobody needs it, so nothing depends on whether it could be put.
      const unused = await prepared?.catch(() => undefined);
      if (unused !== undefined) await store.remove(unused.marker, { signal: this.#signal });
      return;
    }
    this.#sessionId = next.id;
    this.#marker = next.marker;
    this.#prepared = putMarker(this.#parts, this.#signal);
    this.#prepared.catch(() => undefined);
  }

  #pack(prefix: ContentPrefix): PackWriter {
    const kind = prefix === '' ? 'p' : 'q';
    const existing = this.#packs.get(kind);
    if (existing !== undefined) return existing;
    const { format } = this.#parts;
    const pack = new PackWriter(this.#parts, {
      kind,
      maxPackSizeBytes: format.maxPackSizeBytes,
      formatVersion: format.version,
      indexVersion: format.indexVersion,
      sessionId: this.#sessionId,
      bufferBytes: packBufferBytes,
      buffers: packBuffers,
      onPack: (entries) => this.addEntries(entries),
      signal: this.#signal,
    });
    this.#packs.set(kind, pack);
    return pack;
  }

  /** Listings, lists and manifests are compressed as Kopia does by default; index version 1 cannot say so. */
  #compressor(prefix: ContentPrefix): CompressorName {
    return prefix !== '' && this.#parts.format.indexVersion >= 2 ? 'zstd-fastest' : 'none';
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.catch(() => undefined).then(work);
    this.#turn = turn;
    turn.catch(() => undefined);
    return await turn;
  }
}

interface Session {
  readonly id: string;
  readonly marker: BlobId;
}

async function putMarker(parts: RepositoryWriterParts, signal: AbortSignal): Promise<Session> {
  const id = newSessionId({ rng: parts.rng, nowMs: parts.clock.nowMs() });
  const marker = encodeSessionMarker(parts.codec, { sessionId: id, nowMs: parts.clock.nowMs(), ...parts.identity });
  await parts.store.put(marker.id, marker.bytes, { signal });
  return { id, marker: marker.id };
}
