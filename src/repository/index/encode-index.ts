/** Turns entries into the bytes of one index: what is appended to packs and sealed into index blobs. */
import assert from 'node:assert/strict';

import { EntryCursor, type IndexCursor } from './index-cursor.ts';
import { isBetter, type IndexEntry } from './index-entry.ts';
import { IndexShape } from './index-shape.ts';
import { encodeV1 } from './index-v1.ts';
import { encodeV2 } from './index-v2.ts';

export interface IndexEncoding {
  readonly version: 1 | 2;
  readonly hashLengthBytes: number;
}

/**
 * The index of these entries, in any order, duplicates allowed (the better one stays). Version 1 takes no compressed
 * contents. At least one entry.
 * @throws {RepositoryError} `corrupt` when a time or length is out of the format's range.
 */
export function encodeIndex(entries: readonly IndexEntry[], { version, hashLengthBytes }: IndexEncoding): Uint8Array {
  const unique = sortedUnique(entries);
  const textLength = hashLengthBytes * 2;
  for (const { contentId } of unique) {
    assert(contentId.length - (contentId.length % 2) === textLength, `content ${contentId} has another hash length`);
  }
  return joinPieces(encodeCursor(() => new EntryCursor(unique, 1 + hashLengthBytes), version));
}

/**
 * The index of what a cursor shows, piece by piece; each piece is overwritten by the next.
 * @param open called twice; both cursors must show the same entries
 */
export function* encodeCursor(open: () => IndexCursor, version: 1 | 2): Generator<Buffer> {
  const shape = IndexShape.of(open(), version);
  assert(shape.count > 0, 'an index has at least one entry');
  yield* version === 1 ? encodeV1(shape, open()) : encodeV2(shape, open());
}

/** Sorted by key; content ids sort as their keys do, because the prefixes `g` to `z` sort after the digits of a hash. */
export function sortedUnique(entries: readonly IndexEntry[]): IndexEntry[] {
  const sorted = entries.toSorted((a, b) => (a.contentId < b.contentId ? -1 : a.contentId > b.contentId ? 1 : 0));
  let kept = 0;
  for (const entry of sorted) {
    const last = sorted[kept - 1];
    if (last?.contentId !== entry.contentId) sorted[kept++] = entry;
    else if (isBetter(entry, last)) sorted[kept - 1] = entry;
  }
  sorted.length = kept;
  return sorted;
}

/** One array of pieces that each overwrite the one before. */
export function joinPieces(pieces: Iterable<Buffer>): Buffer {
  const copies: Buffer[] = [];
  for (const piece of pieces) copies.push(Buffer.from(piece));
  return Buffer.concat(copies);
}
