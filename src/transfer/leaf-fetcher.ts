/**
 * From leaves to verified bytes, in a worker thread: locate, read from the pack, open, hash. Contents that lie one behind
 * the other in a pack are read together, so that a run of chunks costs one request. A chunk's id is computed again from
 * the opened bytes before anybody sees them.
 */
import type { BlobStore } from '../blobs/blob-store.ts';
import { decompressChunk } from '../repository/content/compression.ts';
import type { ContentCodec } from '../repository/content/content-codec.ts';
import { hashOf, prefixOf } from '../repository/content/content-id.ts';
import type { IndexEntry } from '../repository/index/index-entry.ts';
import type { IndexLookup } from '../repository/index/index-lookup.ts';
import { packReads, type PackRead } from '../repository/pack/pack-reads.ts';
import { RepositoryError } from '../repository/repository-error.ts';
import { hasCode } from '../std/dray-error.ts';
import type { FetchLeaf } from './fetch-messages.ts';
import { FetchSlots, slotBytes, type Slot } from './fetch-slots.ts';

/** Requests of one task under way at once. */
const readsTogetherMax = 8;

export interface LeafFetcherParts {
  readonly codec: ContentCodec;
  readonly store: BlobStore;
  readonly lookup: IndexLookup;
  /** That may be under way at once; memory is for so many. */
  readonly tasks: number;
  readonly signal: AbortSignal;
}

/** A leaf whose entry may be known already. */
export interface WantedLeaf extends FetchLeaf {
  readonly entry?: IndexEntry;
}

interface LocatedLeaf {
  readonly leaf: FetchLeaf;
  readonly entry: IndexEntry;
}

/** What is done about a leaf that cannot be had. */
type OnDamage = (leaf: FetchLeaf, error: RepositoryError) => void;

export class LeafFetcher {
  readonly #parts: Omit<LeafFetcherParts, 'lookup' | 'tasks'>;
  readonly slots: FetchSlots;
  #lookup: IndexLookup;

  constructor({ lookup, tasks, ...parts }: LeafFetcherParts) {
    this.#parts = parts;
    this.#lookup = lookup;
    this.slots = new FetchSlots(tasks);
  }

  /** Leaves are located all at once, with nothing awaited in between: no task is in the middle of the old tables. */
  useIndex(lookup: IndexLookup): void {
    this.#lookup = lookup;
  }

  /**
   * Opens the leaves into `output`, which begins at the offset `first` and is not asked for before something has been
   * read; bytes of a damaged leaf are rubbish.
   * @returns bytes read from packs
   * @throws {RepositoryError} `corrupt` for the first leaf that cannot be had, unless `onDamage` deals with it; {BlobError}
   */
  async fetch(
    leaves: readonly WantedLeaf[],
    { first, output, onDamage = raise }: { first: number; output: Slot; onDamage?: OnDamage },
  ): Promise<number> {
    const located: LocatedLeaf[] = [];
    for (const leaf of leaves) {
      const entry = this.#locate(leaf, onDamage);
      if (entry !== undefined) located.push({ leaf, entry });
    }
    let packedBytes = 0;
    for (const reads of together(packReads(located))) {
      const lengthBytes = reads.reduce((sum, read) => sum + read.lengthBytes, 0);
      packedBytes += lengthBytes;
      using input = this.slots.slot(lengthBytes);
      let at = 0;
      const opened = reads.map(async (read) => {
        const into = input.bytes.subarray(at, (at += read.lengthBytes));
        await this.#openAll(read, into, { first, output, onDamage });
      });
      // All of them: whoever is still reading writes into the slot.
      for (const result of await Promise.allSettled(opened)) if (result.status === 'rejected') throw result.reason;
    }
    return packedBytes;
  }

  /** Whether bytes are the plaintext of this leaf; false where that cannot be told by hashing them. */
  isLeaf(leaf: FetchLeaf, bytes: Uint8Array): boolean {
    return leaf.compressed !== true && hashOf(leaf.contentId).compare(this.#parts.codec.hash(bytes)) === 0;
  }

  /** What the index says of a content; to be used before anything is awaited. */
  find(contentId: FetchLeaf['contentId']): IndexEntry | undefined {
    const prefix = prefixOf(contentId);
    return this.#lookup.find(prefix === '' ? 0 : prefix.charCodeAt(0), hashOf(contentId));
  }

  #locate(leaf: WantedLeaf, onDamage: OnDamage): IndexEntry | undefined {
    const entry = leaf.entry ?? this.find(leaf.contentId);
    if (entry === undefined) {
      const cause = new RepositoryError('content-missing', `no index entry for content ${leaf.contentId}`);
      onDamage(leaf, damaged(leaf, cause));
    } else if (leaf.compressed !== true && entry.originalLength !== leaf.lengthBytes) {
      const found = `content ${leaf.contentId} has ${entry.originalLength} bytes, not ${leaf.lengthBytes}`;
      onDamage(leaf, damaged(leaf, new RepositoryError('corrupt', found)));
    } else {
      return entry;
    }
    return undefined;
  }

  #open({ leaf, entry }: LocatedLeaf, sealed: Uint8Array, plain: Uint8Array): void {
    const { codec } = this.#parts;
    // Opened where it is to be written from, and hashed there.
    if (leaf.compressed !== true) return codec.openInto(entry, sealed, plain, { verify: true });
    const bytes = decompressChunk(codec.open(entry, sealed, { verify: true }), plain.length);
    if (bytes.length !== plain.length) {
      throw new RepositoryError(
        'corrupt',
        `content ${entry.contentId} holds ${bytes.length} bytes, not ${plain.length}`,
      );
    }
    plain.set(bytes);
  }

  /** Reads one stretch of a pack and opens every content in it into the output. */
  async #openAll(
    read: PackRead<LocatedLeaf>,
    into: Uint8Array,
    { first, output, onDamage }: { first: number; output: Slot; onDamage: OnDamage },
  ): Promise<void> {
    const range = { offset: read.offset, lengthBytes: read.lengthBytes };
    let sealed: Uint8Array;
    try {
      sealed = await this.#parts.store.get(read.blob, { signal: this.#parts.signal, range, into });
    } catch (error) {
      if (!hasCode(error, 'blob-not-found') && !hasCode(error, 'blob-range')) throw error;
      for (const { leaf } of read.contents) onDamage(leaf, damaged(leaf, error));
      return;
    }
    for (const { leaf, entry } of read.contents) {
      const start = entry.packOffset - read.offset;
      const plain = output.bytes.subarray(leaf.offset - first, leaf.offset - first + leaf.lengthBytes);
      try {
        this.#open({ leaf, entry }, sealed.subarray(start, start + entry.packedLength), plain);
      } catch (error) {
        if (!hasCode(error, 'corrupt') && !hasCode(error, 'unsupported')) throw error;
        onDamage(leaf, damaged(leaf, error));
      }
    }
  }
}

/** Whether what failed was looked for where it is no more. */
export function isGone(error: unknown): boolean {
  if (!(error instanceof RepositoryError)) return false;
  return hasCode(error.cause, 'blob-not-found') || hasCode(error.cause, 'content-missing');
}

/** Says where; what is only not supported stays so. */
function damaged(leaf: FetchLeaf, cause: unknown): RepositoryError {
  const code = hasCode(cause, 'unsupported') ? 'unsupported' : 'corrupt';
  return new RepositoryError(code, `fetch ${leaf.lengthBytes} bytes at ${leaf.offset} of the volume`, { cause });
}

function raise(_leaf: FetchLeaf, error: RepositoryError): never {
  throw error;
}

/** Stretches that are read at the same time: few, and no more than fits into one slot. */
function* together(reads: readonly PackRead<LocatedLeaf>[]): Generator<readonly PackRead<LocatedLeaf>[]> {
  let group: PackRead<LocatedLeaf>[] = [];
  let bytes = 0;
  for (const read of reads) {
    if (group.length > 0 && (group.length >= readsTogetherMax || bytes + read.lengthBytes > slotBytes)) {
      yield group;
      group = [];
      bytes = 0;
    }
    group.push(read);
    bytes += read.lengthBytes;
  }
  if (group.length > 0) yield group;
}
