/**
 * An open repository: its format, its index, its manifests, and the way to any content. Reading never writes; all
 * writing goes through a `RepositoryWriter`.
 */
import { join } from 'node:path';

import type { BlobGet, BlobStore } from '../blobs/blob-store.ts';
import { hasCode } from '../std/dray-error.ts';
import type { Clock } from '../std/clock.ts';
import type { Rng } from '../std/rng.ts';
import { ContentCodec } from './content/content-codec.ts';
import type { ContentId } from './content/content-id.ts';
import { lockingStore } from './format/blobcfg.ts';
import { openFormat, type OpenedFormat } from './format/format-store.ts';
import type { IndexEntry } from './index/index-entry.ts';
import { IndexSet } from './index/index-set.ts';
import { ManifestStore } from './manifest/manifest-store.ts';
import type { ContentReader } from './object/content-access.ts';
import { RepositoryError } from './repository-error.ts';
import { repositoryId } from './repository-id.ts';
import { RepositoryWriter } from './repository-writer.ts';

export interface RepositoryParts {
  /** Closed with the repository. */
  readonly store: BlobStore;
  readonly clock: Clock;
  readonly rng: Rng;
}

export interface RepositoryOpen {
  readonly password: string;
  /** Where decrypted indexes are kept; may be deleted at any time. */
  readonly cacheDirectory: string;
  readonly signal: AbortSignal;
}

export interface Identity {
  readonly userName: string;
  readonly host: string;
}

/** As Kopia writes it. */
export function identityText({ userName, host }: Identity): string {
  return `${userName}@${host}`;
}

/** The index that is loaded is believed for this long, milliseconds (Kopia: 15 minutes at most). */
const indexFreshMs = 10 * 60 * 1000;
/**
 * What was found in an index must be named by a snapshot before so much time has passed, milliseconds. Right after that look
 * maintenance may mark it as deleted; to drop it, it must collect again an hour later at the earliest, and once more four hours
 * after that (`maintenance/safety.ts`). Whoever is in time is seen by one of these. A mark may be half an hour older than it shows.
 */
const indexTrustedMs = 4 * 60 * 60 * 1000;

export class Repository implements ContentReader, AsyncDisposable {
  readonly store: BlobStore;
  readonly opened: OpenedFormat;
  readonly codec: ContentCodec;
  readonly index: IndexSet;
  readonly manifests: ManifestStore;
  readonly #parts: RepositoryParts;
  #indexAgeMs: number;
  /** When what is loaded was asked for, Unix milliseconds at least: unlike the monotonic clock, that goes on while a machine sleeps. */
  #indexReadMs: number;
  /** As that, of what was loaded before: what is under way may have been found there. */
  #indexSinceMs: number;

  private constructor(
    parts: RepositoryParts,
    opened: OpenedFormat,
    codec: ContentCodec,
    index: IndexSet,
    sinceMs: number,
  ) {
    this.store = parts.store;
    this.opened = opened;
    this.codec = codec;
    this.index = index;
    this.#parts = parts;
    this.#indexAgeMs = parts.clock.monotonicMs();
    this.#indexReadMs = sinceMs;
    this.#indexSinceMs = sinceMs;
    this.manifests = new ManifestStore({ reader: this, index, clock: parts.clock, rng: parts.rng });
  }

  /** @throws {RepositoryError} as `openFormat`; {BlobError} */
  static async open(parts: RepositoryParts, { password, ...rest }: RepositoryOpen): Promise<Repository> {
    const opened = await openFormat(parts.store, { password, clock: parts.clock, signal: rest.signal });
    return await Repository.openWith(parts, opened, rest);
  }

  /** With a format that is open already: deriving its key takes most of the time of opening. As `open`. */
  static async openWith(
    parts: RepositoryParts,
    opened: OpenedFormat,
    { cacheDirectory, signal }: Omit<RepositoryOpen, 'password'>,
  ): Promise<Repository> {
    const { clock } = parts;
    const store = lockingStore(parts.store, opened.retention);
    const codec = new ContentCodec(opened.format);
    const directory = join(cacheDirectory, repositoryId(opened).slice(0, 16));
    const cacheKey = opened.deriveKey('dray index cache', 32);
    const { format } = opened;
    const sinceMs = clock.nowMs();
    const index = await IndexSet.open({ store, codec, format, cacheDirectory: directory, cacheKey, clock, signal });
    return new Repository({ ...parts, store }, opened, codec, index, sinceMs);
  }

  async read(id: ContentId, { signal }: { readonly signal: AbortSignal }): Promise<Uint8Array> {
    try {
      return await this.#read(id, { signal });
    } catch (error) {
      // What a cache has kept of an answer that was damaged on its way would be damaged for ever.
      if (hasCode(error, 'corrupt')) return await this.#read(id, { fresh: true, signal });
      // Maintenance may have moved the content since the index was loaded.
      if (!hasCode(error, 'content-missing') && !hasCode(error, 'blob-not-found')) throw error;
      await this.index.refresh({ signal });
      return await this.#read(id, { signal });
    }
  }

  /** Looks again at what others have written, if it has been long. @returns true when it did */
  async refreshIfOld({ signal }: { readonly signal: AbortSignal }): Promise<boolean> {
    if (this.#parts.clock.monotonicMs() - this.#indexAgeMs < indexFreshMs) return false;
    const sinceMs = this.#parts.clock.nowMs();
    await this.index.refresh({ signal });
    this.#indexAgeMs = this.#parts.clock.monotonicMs();
    this.#indexSinceMs = this.#indexReadMs;
    this.#indexReadMs = sinceMs;
    return true;
  }

  /**
   * For writers that refer to what the index has told them, just before that becomes durable.
   * @throws {RepositoryError} `index-conflict` when it was told so long ago that maintenance may have dropped it since
   */
  requireTrustedIndex(): void {
    const hours = (this.#parts.clock.nowMs() - this.#indexSinceMs) / 3_600_000;
    if (hours * 3_600_000 <= indexTrustedMs) return;
    const reason = 'this process must have been stopped, or its clock put forward, and what it found may be gone';
    throw new RepositoryError('index-conflict', `the index was read ${Math.floor(hours)} hours ago: ${reason}`);
  }

  /** Starts a writing session. */
  async writer(identity: Identity, { signal }: { readonly signal: AbortSignal }): Promise<RepositoryWriter> {
    const { format } = this.opened;
    return await RepositoryWriter.begin(
      { ...this.#parts, codec: this.codec, format, index: this.index, identity },
      { signal },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.index[Symbol.asyncDispose]();
    await this.store[Symbol.asyncDispose]();
  }

  async #read(id: ContentId, options: Pick<BlobGet, 'fresh' | 'signal'>): Promise<Uint8Array> {
    const entry = this.#entry(id);
    const range = { offset: entry.packOffset, lengthBytes: entry.packedLength };
    const sealed = await this.store.get(entry.packBlob, { ...options, range });
    return this.codec.open(entry, sealed, { verify: true });
  }

  #entry(id: ContentId): IndexEntry {
    const entry = this.index.find(id);
    if (entry === undefined) throw new RepositoryError('content-missing', `no index entry for content ${id}`);
    return entry;
  }
}
