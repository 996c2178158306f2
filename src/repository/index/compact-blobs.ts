/**
 * Several index blobs as one set that says all they say (Kopia `index_blob_manager_v1.go` CompactEpoch). Nothing is
 * left out, deleted entries least of all. A set counts when all of its blobs are there, so a crash between two of them
 * leaves blobs that nobody looks at. What was merged is not removed here: others may be reading it.
 *
 * Kopia divides a set by a hash of the content ids at 16 million entries; we cut it at ranges of keys and much earlier, because
 * a blob is sealed in memory. A reader merges whatever the members of a set hold.
 */
import type { BlobId, BlobStore } from '../../blobs/blob-store.ts';
import { randomHex, type Rng } from '../../std/rng.ts';
import type { ContentCodec } from '../content/content-codec.ts';
import { encodeCursor, joinPieces } from './encode-index.ts';
import type { IndexCache } from './index-cache.ts';
import { MergeCursor } from './merge.ts';
import type { TableFile } from './table-file.ts';

/** Entries of one blob at most; about 50 bytes each, three times in memory. */
const entriesPerBlobMax = 125_000;

export interface CompactParts {
  readonly store: BlobStore;
  readonly codec: ContentCodec;
  readonly cache: IndexCache;
  readonly indexVersion: 1 | 2;
}

export interface CompactOptions {
  /** What the names begin with, such as `xs7_`. */
  readonly prefix: string;
  readonly rng: Rng;
  /** Asked before each blob is put; throws when the plan is out of date. */
  readonly check: () => void;
  readonly entriesPerBlobMax?: number | undefined;
  readonly signal: AbortSignal;
}

/**
 * Puts the set. The files stay open and the caller's.
 * @returns what was put, nothing when there are no entries
 * @throws {RepositoryError} `index-cache`, `corrupt`; {BlobError}; what `check` throws
 */
export async function putCompacted(
  { store, codec, cache, indexVersion }: CompactParts,
  files: readonly TableFile[],
  { prefix, rng, check, entriesPerBlobMax: entriesMax = entriesPerBlobMax, signal }: CompactOptions,
): Promise<BlobId[]> {
  const cuts = cutKeys(files, entriesMax);
  const suffix = `s${randomHex(rng, 8)}-c${cuts.length}`;
  const put: BlobId[] = [];
  for (const [number, from] of cuts.entries()) {
    const to = cuts[number + 1];
    const open = (): MergeCursor => new MergeCursor(files.map(({ table }) => table.cursorBetween(from, to)));
    const plain = joinPieces(encodeCursor(open, indexVersion));
    await cache.verifyAgain(files);
    const { id, bytes } = codec.sealNamed(prefix, suffix, plain);
    check();
    await store.put(id, bytes, { signal });
    put.push(id);
  }
  return put;
}

/** The first key of each blob; none when there are no entries. */
function cutKeys(files: readonly TableFile[], entriesMax: number): Buffer[] {
  const merged = new MergeCursor(files.map(({ table }) => table.cursor()));
  const cuts: Buffer[] = [];
  for (let count = 0; merged.next(); count++) {
    if (count % entriesMax !== 0) continue;
    cuts.push(Buffer.from(merged.key.subarray(merged.keyAt, merged.keyAt + merged.keySize)));
  }
  return cuts;
}
