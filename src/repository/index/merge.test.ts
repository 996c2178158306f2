import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';

import { encodeIndex, sortedUnique } from './encode-index.ts';
import { isBetter, type IndexEntry } from './index-entry.ts';
import { anyEntry } from './index-fixtures.ts';
import { IndexTable } from './index-table.ts';
import { MergeCursor } from './merge.ts';

const encoding = { version: 2, hashLengthBytes: 16 } as const;

function merged(lists: readonly (readonly IndexEntry[])[]): IndexEntry[] {
  const cursor = new MergeCursor(lists.map((list) => IndexTable.inMemory(encodeIndex(list, encoding)).cursor()));
  const result: IndexEntry[] = [];
  while (cursor.next()) result.push(cursor.winner.entry());
  return result;
}

test('merge > gives the same as one index of all entries', () => {
  const list = fc.array(anyEntry({ hashes: 40 }), { minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(fc.array(list, { minLength: 1, maxLength: 9 }), (lists) => {
      assert.deepEqual(withoutTies(merged(lists)), withoutTies(sortedUnique(lists.flat())));
    }),
  );
});

/** What the rule compares. */
function withoutTies(entries: readonly IndexEntry[]): unknown[] {
  return entries.map(({ contentId, timestampSeconds, deleted, packBlob }) => [
    contentId,
    timestampSeconds,
    deleted,
    packBlob,
  ]);
}

test('merge > the later wins, then the living, then the greater pack name', () => {
  fc.assert(
    fc.property(anyEntry({ hashes: 1 }), anyEntry({ hashes: 1 }), (a, b) => {
      fc.pre(a.contentId === b.contentId);
      const [winner] = merged([[a], [b]]);
      assert.ok(!isBetter(a, winner!) && !isBetter(b, winner!));
    }),
  );
});

test('merge > of what differs in nothing that the rule compares, the first source wins', () => {
  const all = sortedUnique(fc.sample(anyEntry(), { numRuns: 20, seed: 1 }));
  for (const [at, entry] of all.entries()) {
    const [first, second] = [
      { ...entry, packOffset: 1 },
      { ...entry, packOffset: 2 },
    ];
    // A source that shows something before is later in the heap.
    for (const before of [all.slice(0, at), []]) {
      assert.equal(merged([[...before, first], [second]]).at(-1)?.packOffset, 1);
      assert.equal(merged([[first], [...before, second]]).at(-1)?.packOffset, 1);
    }
  }
});

test('merge > keeps the deleted entries', () => {
  const [entry] = fc.sample(anyEntry(), 1);
  const deleted = { ...entry!, deleted: true, timestampSeconds: entry!.timestampSeconds + 1 };
  assert.deepEqual(merged([[entry!], [deleted]]), [deleted]);
});

test('merge > takes sources of very different length, and none', () => {
  const lists = [1, 500, 3, 90].map((size, seed) => fc.sample(anyEntry(), { numRuns: size, seed }));
  assert.equal(merged(lists).length, sortedUnique(lists.flat()).length);
  assert.equal(new MergeCursor([]).next(), false);
});
