/**
 * Several index blobs as one set of blobs that says all they say (Kopia `index_blob_manager_v1.go` CompactEpoch,
 * `index_blob_manager_v0.go` compactIndexBlobs). Nothing is left out but what the caller says, deleted entries least of
 * all. A set of an epoch counts when all of its blobs are there, so a crash between two of them leaves blobs that nobody
 * looks at; without epochs each blob counts at once, and says once more what the others say. What was merged is not
 * removed here: others may be reading it.
 *
 * Kopia divides a set by a hash of the content ids at 16 million entries; we cut it at ranges of keys and much earlier, because
 * a blob is sealed in memory. A reader merges whatever the members of a set hold.
 */
import type { BlobId, BlobStore } from '../../blobs/blob-store.ts';
import { randomHex, type Rng } from '../../std/rng.ts';
import type { ContentCodec, NamedBlob } from '../content/content-codec.ts';
import { encodeCursor, joinPieces } from './encode-index.ts';
import type { IndexCache } from './index-cache.ts';
import type { IndexCursor } from './index-cursor.ts';
import type { IndexValue } from './index-layout.ts';
import { KeptCursor } from './kept-cursor.ts';
import { MergeCursor } from './merge.ts';
import type { TableCursor } from './table-cursor.ts';
import type { TableFile } from './table-file.ts';

/** Entries of one blob at most; about 50 bytes each, three times in memory. */
const entriesPerBlobMax = 125_000;

export interface CompactParts {
  readonly store: BlobStore;
  readonly codec: ContentCodec;
  readonly cache: IndexCache;
  readonly indexVersion: 1 | 2;
}

/** Names and seals one blob of a set of `count`, from its plaintext piece by piece. */
export type SealIndex = (codec: ContentCodec, pieces: Iterable<Buffer>, count: number) => NamedBlob;

export interface CompactOptions {
  readonly seal: SealIndex;
  /** Asked before each blob is put; throws when the plan is out of date. */
  readonly check: () => void;
  /** Which of the winning entries are left out. */
  readonly isDropped?: ((value: IndexValue) => boolean) | undefined;
  readonly entriesPerBlobMax?: number | undefined;
  readonly signal: AbortSignal;
}

/** What is merged, and what else there is: an entry that loses against one of those is not written again. */
export interface CompactSources {
  readonly files: readonly TableFile[];
  readonly beside: readonly TableFile[];
}

/** Members of one set, named as those of an epoch. @param prefix such as `xs7_` */
export function sealAsSet(prefix: string, rng: Rng): SealIndex {
  const random = randomHex(rng, 8);
  return (codec, pieces, count) => codec.sealNamed(prefix, `s${random}-c${count}`, joinPieces(pieces));
}

/** Random bytes at the end of an index, which readers pass over (Kopia `randomSuffixSize`). */
const randomTailBytes = 32;

/** Index blobs without epochs, each with a name that no blob ever had: one that a log has replaced must not come back. */
export function sealAlone(rng: Rng): SealIndex {
  return (codec, pieces) => {
    const tail = Buffer.from(rng.bytes(randomTailBytes));
    return codec.sealNamed('n', '', joinPieces(withTail(pieces, tail)));
  };
}

function* withTail(pieces: Iterable<Buffer>, tail: Buffer): Generator<Buffer> {
  yield* pieces;
  yield tail;
}

/**
 * Puts the set. The files stay open and the caller's.
 * @returns what was put, nothing when there are no entries
 * @throws {RepositoryError} `index-cache`, `corrupt`; {BlobError}; what `check` throws
 */
export async function putCompacted(
  { store, codec, cache, indexVersion }: CompactParts,
  { files, beside }: CompactSources,
  { seal, check, isDropped, entriesPerBlobMax: entriesMax = entriesPerBlobMax, signal }: CompactOptions,
): Promise<BlobId[]> {
  const between = (from?: Uint8Array, to?: Uint8Array): IndexCursor => {
    const open = (all: readonly TableFile[]): TableCursor[] => all.map(({ table }) => table.cursorBetween(from, to));
    const [own, others] = [open(files), open(beside)];
    // What stands alike in both is written again: those beside may be merged, and gone, as well.
    const merged = new MergeCursor([...own, ...others]);
    if (others.length === 0 && isDropped === undefined) return merged;
    const among = new Set(own);
    return new KeptCursor(merged, ({ winner, value }) => among.has(winner) && isDropped?.(value) !== true);
  };
  const cuts = cutKeys(between(), entriesMax);
  const put: BlobId[] = [];
  for (const [number, from] of cuts.entries()) {
    const to = cuts[number + 1];
    const { id, bytes } = seal(
      codec,
      encodeCursor(() => between(from, to), indexVersion),
      cuts.length,
    );
    await cache.verifyAgain([...files, ...beside]);
    check();
    await store.put(id, bytes, { signal });
    put.push(id);
  }
  return put;
}

/** The first key of each blob; none when there are no entries. */
function cutKeys(cursor: IndexCursor, entriesMax: number): Buffer[] {
  const cuts: Buffer[] = [];
  for (let count = 0; cursor.next(); count++) {
    if (count % entriesMax !== 0) continue;
    cuts.push(Buffer.from(cursor.key.subarray(cursor.keyAt, cursor.keyAt + cursor.keySize)));
  }
  return cuts;
}
