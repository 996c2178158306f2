import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';

import { blobId } from '../../blobs/blob-store.ts';
import { contentId, contentKey } from '../content/content-id.ts';
import { encodeIndex, sortedUnique } from './encode-index.ts';
import type { IndexEntry } from './index-entry.ts';
import { anyEntry, spread } from './index-fixtures.ts';
import { IndexTable } from './index-table.ts';
import { KeyFilter } from './key-filter.ts';

const encoding = { version: 2, hashLengthBytes: 16 } as const;

function entry(id: string): IndexEntry {
  return {
    contentId: contentId(id),
    packBlob: blobId('p1'),
    packOffset: 0,
    packedLength: 30,
    originalLength: 2,
    compression: 0,
    formatVersion: 3,
    encryptionKeyId: 0,
    deleted: false,
    timestampSeconds: 1,
  };
}

test('index table > finds every entry and no other', () => {
  fc.assert(
    fc.property(fc.array(anyEntry({ hashes: 5000 }), { minLength: 1, maxLength: 800 }), (written) => {
      const table = IndexTable.inMemory(encodeIndex(written, encoding));
      const byId = new Map(sortedUnique(written).map((one) => [one.contentId, one]));
      for (const [id, one] of byId) assert.deepEqual(table.find(contentKey(id)), one);
      for (let seed = 5000; seed < 5100; seed++) {
        assert.equal(table.find(Buffer.concat([Buffer.of(0), spread(seed, 16)])), undefined);
      }
    }),
    { numRuns: 50 },
  );
});

test('index table > finds keys that are not spread evenly', () => {
  const ids = [
    ...Array.from({ length: 3000 }, (_, i) => i.toString(16).padStart(32, '0')),
    ...Array.from({ length: 3000 }, (_, i) => 'ff'.repeat(12) + i.toString(16).padStart(8, '0')),
    ...Array.from({ length: 10 }, (_, i) => `m${'7f'.repeat(15)}0${i}`),
  ];
  const table = IndexTable.inMemory(encodeIndex(ids.map(entry), encoding));
  for (const id of ids) assert.equal(table.find(contentKey(contentId(id)))?.contentId, id);
  assert.equal(table.find(contentKey(contentId('7f'.repeat(16)))), undefined);
  assert.equal(table.find(contentKey(contentId(`k${'7f'.repeat(16)}`))), undefined);
});

test('index table > the entries of a prefix are those and no more', () => {
  const ids = ['00', '7f', 'g00', 'k01', 'k02', 'm01', 'z09'];
  const table = IndexTable.inMemory(encodeIndex(ids.map(entry), { version: 2, hashLengthBytes: 1 }));
  const of = (prefix: string): string[] =>
    [...table.entries({ prefix: prefix === '' ? 0 : prefix.charCodeAt(0) })].map((one) => one.contentId);
  assert.deepEqual(of(''), ['00', '7f']);
  assert.deepEqual(of('k'), ['k01', 'k02']);
  assert.deepEqual(of('l'), []);
  assert.deepEqual(of('z'), ['z09']);
});

test('key filter > never denies a key it was given, and denies most others', () => {
  const filter = KeyFilter.allocate({ count: 10_000, keySize: 17 })!;
  const key = (seed: number): Buffer => Buffer.concat([Buffer.of(seed % 3 === 0 ? 0x6b : 0), spread(seed, 16)]);
  for (let seed = 0; seed < 10_000; seed++) filter.addAll(key(seed), { count: 1, stride: 17 });
  for (let seed = 0; seed < 10_000; seed++) assert.ok(filter.mayHave(key(seed)));
  let wrong = 0;
  for (let seed = 10_000; seed < 20_000; seed++) if (filter.mayHave(key(seed))) wrong++;
  assert.ok(wrong < 500, `${wrong} of 10,000`);
});
