/**
 * One writing session of a repository: contents with dedup, pending index entries, and the flush that makes them
 * count. Order, which a crash may cut anywhere (Kopia `sessions.go`, `content_manager.go`):
 *
 *   session marker → packs → index blob → marker removed
 *
 * So an index names only durable packs. Nothing here overwrites; a crash leaves unreferenced packs and the marker, which
 * maintenance removes.
 *
 * The session lasts over all flushes of a run. What protects a pack that no index names yet is its own age, 24 hours,
 * and beyond that the marker until it is 96 hours old; so a marker that grows old is replaced by one of the same session
 * (Kopia tells sessions apart by their id, not by the marker). A process that was stopped for longer may find that its
 * packs are gone: what was waiting that long is looked for before an index names it.
 */
import type { BlobId, BlobStore } from '../blobs/blob-store.ts';
import { removeUnlessLocked } from '../blobs/remove-unless-locked.ts';
import type { Clock } from '../std/clock.ts';
import { hasCode } from '../std/dray-error.ts';
import type { Rng } from '../std/rng.ts';
import type { CompressorName } from './content/compression.ts';
import type { ContentCodec } from './content/content-codec.ts';
import { contentIdOf, prefixOf, type ContentId, type ContentPrefix } from './content/content-id.ts';
import { encodeSessionMarker, newSessionId } from './content/session.ts';
import type { ContentFormat } from './format/content-format.ts';
import type { IndexEntry } from './index/index-entry.ts';
import type { IndexSet } from './index/index-set.ts';
import { PackWriter } from './pack/pack-writer.ts';
import type { ContentWriter } from './object/content-access.ts';
import { RepositoryError } from './repository-error.ts';

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
const packsCommittingMax = 2;

/** A marker older than this is replaced at the next flush. */
const markerAgeMaxMs = 12 * 60 * 60 * 1000;
/** Half of what Kopia lets every pack live (`maintenance_safety.go`). */
const unnamedAgeMaxMs = 12 * 60 * 60 * 1000;

export class RepositoryWriter implements ContentWriter, AsyncDisposable {
  readonly #parts: RepositoryWriterParts;
  readonly #signal: AbortSignal;
  readonly #packs = new Map<'p' | 'q', PackWriter>();
  /** Written since the last flush, so not yet found in the index. */
  readonly #pendingIds = new Set<ContentId>();
  #pendingEntries: IndexEntry[] = [];
  #session: Session;
  /** Packs of this run that no index blob was ever asked to name, and when they were handed over, Unix milliseconds. */
  readonly #unnamedPacks = new Map<BlobId, number>();
  /** Writes take turns: packs are filled by one at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(parts: RepositoryWriterParts, session: Session, signal: AbortSignal) {
    this.#parts = parts;
    this.#signal = signal;
    this.#session = session;
  }

  /** Starts a session; its marker is durable when this resolves. */
  static async begin(
    parts: RepositoryWriterParts,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<RepositoryWriter> {
    const id = newSessionId({ rng: parts.rng, nowMs: parts.clock.nowMs() });
    return new RepositoryWriter(parts, await putMarker(parts, { id }, signal), signal);
  }

  get sessionId(): string {
    return this.#session.id;
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

  /** Takes over the entries of packs that workers have made durable in this session. */
  addEntries(entries: readonly IndexEntry[]): void {
    this.#pendingEntries.push(...entries);
    const nowMs = this.#parts.clock.nowMs();
    for (const { packBlob } of entries) this.#unnamedPacks.set(packBlob, nowMs);
  }

  /**
   * Stores a content once more, in a new pack and with a later time, for maintenance. `sealed` is what stands at the
   * entry's place, and free again when the promise resolves.
   * @throws {RepositoryError} `corrupt` when it is not what its id says
   */
  async copy(entry: IndexEntry, sealed: Uint8Array, { deleted }: { readonly deleted: boolean }): Promise<void> {
    await this.#inTurn(async () => {
      await this.#pack(prefixOf(entry.contentId)).copy(entry, sealed, { deleted });
    });
  }

  /** Marks a content as deleted from the next flush on. Unknown or deleted contents are left alone. */
  delete(id: ContentId): void {
    const known = this.#parts.index.find(id);
    if (known !== undefined) this.deleteEntry(known);
  }

  /** As `delete`, of a content whose present entry is this one. */
  deleteEntry(known: IndexEntry): void {
    if (known.deleted) return;
    const nowSeconds = Math.floor(this.#parts.clock.nowMs() / 1000);
    const timestampSeconds = Math.max(nowSeconds, known.timestampSeconds + 1);
    this.#pendingEntries.push({ ...known, deleted: true, timestampSeconds });
  }

  /**
   * Makes everything written so far findable.
   * @param options.sealOthers resolves when all packs that others write in this session are durable and handed to
   *   `addEntries`.
   * @throws {RepositoryError} `index-conflict`, `index-cache`; {BlobError}; what `check` throws
   */
  async flush(options: FlushOptions = {}): Promise<void> {
    await this.#inTurn(async () => {
      await this.#flush(options);
      if (this.#parts.clock.nowMs() - this.#session.markedAtMs >= markerAgeMaxMs) await this.#renewMarker();
    });
  }

  /** The last flush: the session ends. */
  async finish(options: FlushOptions = {}): Promise<void> {
    await this.#inTurn(async () => {
      await this.#flush(options);
      await removeUnlessLocked(this.#parts.store, this.#session.marker, { signal: this.#signal });
    });
  }

  /**
   * Gives back the room of this run's packs that no index can name, for a run that has filled the store. Best effort;
   * others must have ended their packs. Only packs made here: an entry that marks a content as deleted names its old one.
   */
  async discard({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    for (const pack of this.#unnamedPacks.keys())
      await this.#parts.store.remove(pack, { signal }).catch(() => undefined);
    this.#unnamedPacks.clear();
    this.#pendingEntries = [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#turn.catch(() => undefined);
    for (const pack of this.#packs.values()) await pack[Symbol.asyncDispose]();
  }

  async #flush({ sealOthers, check }: FlushOptions): Promise<void> {
    await sealOthers?.();
    for (const pack of this.#packs.values()) await pack.seal();
    // More may be added meanwhile; what was not flushed stays pending.
    const entries = [...this.#pendingEntries];
    const packs = new Set(entries.map(({ packBlob }) => packBlob));
    await this.#requireOld(packs);
    for (const pack of packs) this.#unnamedPacks.delete(pack);
    const { index } = this.#parts;
    if (entries.length > 0) await index.flush(entries, { sessionId: this.#session.id, check, signal: this.#signal });
    this.#pendingEntries.splice(0, entries.length);
    this.#pendingIds.clear();
  }

  /** Packs that have waited for so long that maintenance may have taken them must still be there. */
  async #requireOld(packs: ReadonlySet<BlobId>): Promise<void> {
    const { store, clock } = this.#parts;
    for (const [pack, sinceMs] of this.#unnamedPacks) {
      if (!packs.has(pack) || clock.nowMs() - sinceMs < unnamedAgeMaxMs) continue;
      try {
        await store.stat(pack, { signal: this.#signal });
      } catch (cause) {
        if (!hasCode(cause, 'blob-not-found')) throw cause;
        const reason = 'maintenance removed it before an index named it: this process must have been stopped for long';
        throw new RepositoryError('index-conflict', `${pack}: ${reason}`, { cause });
      }
    }
  }

  async #renewMarker(): Promise<void> {
    const old = this.#session.marker;
    this.#session = await putMarker(this.#parts, this.#session, this.#signal);
    await removeUnlessLocked(this.#parts.store, old, { signal: this.#signal });
  }

  #pack(prefix: ContentPrefix): PackWriter {
    const kind = prefix === '' ? 'p' : 'q';
    const existing = this.#packs.get(kind);
    if (existing !== undefined) return existing;
    const { format } = this.#parts;
    const pack = new PackWriter(this.#parts, {
      kind,
      format,
      sessionId: this.#session.id,
      bufferBytes: packBufferBytes,
      buffers: packBuffers,
      committingMax: packsCommittingMax,
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

interface FlushOptions {
  readonly sealOthers?: () => Promise<void>;
  /** Asked just before an index blob is put; what it throws ends the flush. */
  readonly check?: () => void;
}

interface Session {
  readonly id: string;
  readonly startTimeMs: number;
  readonly marker: BlobId;
  readonly markedAtMs: number;
}

async function putMarker(
  { codec, store, clock, identity }: RepositoryWriterParts,
  { id, startTimeMs }: Pick<Session, 'id'> & Partial<Session>,
  signal: AbortSignal,
): Promise<Session> {
  const nowMs = clock.nowMs();
  const marker = encodeSessionMarker(codec, { sessionId: id, nowMs, startTimeMs, ...identity });
  await store.put(marker.id, marker.bytes, { signal });
  return { id, startTimeMs: startTimeMs ?? nowMs, marker: marker.id, markedAtMs: nowMs };
}
