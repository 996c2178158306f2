import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { blobId } from '../../blobs/blob-store.ts';
import { contentId } from '../content/content-id.ts';
import type { IndexEntry } from '../index/index-entry.ts';
import { packReads } from './pack-reads.ts';

interface Located {
  readonly entry: IndexEntry;
}

function located(pack: string, packOffset: number, packedLength: number): Located {
  const entry = {
    contentId: contentId('aa'),
    packBlob: blobId(pack),
    packOffset,
    packedLength,
    originalLength: packedLength,
    compression: 0,
    formatVersion: 3,
    encryptionKeyId: 0,
    deleted: false,
    timestampSeconds: 0,
  };
  return { entry };
}

test('pack reads > neighbours in a pack travel together, other packs apart', () => {
  const reads = packReads([located('p2', 32, 100), located('p1', 132, 50), located('p1', 32, 100)]);
  assert.deepEqual(
    reads.map(({ blob, offset, lengthBytes, contents }) => [blob, offset, lengthBytes, contents.length]),
    [
      ['p1', 32, 150, 2],
      ['p2', 32, 100, 1],
    ],
  );
});

test('pack reads > cover every content, and stay within 4 MiB unless one content is larger', () => {
  const item = fc.tuple(
    fc.constantFrom('p1', 'p2', 'p3'),
    fc.integer({ min: 0, max: 20_000_000 }),
    fc.integer({ min: 1, max: 6_000_000 }),
  );
  fc.assert(
    fc.property(fc.array(item, { maxLength: 60 }), (items) => {
      const wanted = items.map(([pack, offset, length]) => located(pack, offset, length));
      const reads = packReads(wanted);
      assert.equal(
        reads.reduce((sum, { contents }) => sum + contents.length, 0),
        wanted.length,
      );
      for (const { blob, offset, lengthBytes, contents } of reads) {
        for (const { entry } of contents) {
          assert.equal(entry.packBlob, blob);
          assert.ok(entry.packOffset >= offset);
          assert.ok(entry.packOffset + entry.packedLength <= offset + lengthBytes);
        }
        const longest = Math.max(...contents.map(({ entry }) => entry.packedLength));
        assert.ok(lengthBytes <= Math.max(4 * 1024 * 1024, longest));
      }
    }),
  );
});
