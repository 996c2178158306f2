import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { extent, extentEnd, type Extent } from './extent.ts';
import {
  alignOutward,
  clipExtents,
  cutUp,
  intersectExtents,
  normalizeExtents,
  subtractExtents,
  totalBytes,
} from './extents.ts';

/** A volume so small that a set of its bytes is the obvious model. */
const volumeBytes = 64;
const anyExtents = fc.array(
  fc
    .tuple(fc.nat(volumeBytes), fc.nat(12))
    .map(([offset, length]) => extent(offset, Math.min(length, volumeBytes - offset))),
  { maxLength: 12 },
);

function bytesOf(list: readonly Extent[]): Set<number> {
  return new Set(list.flatMap(({ offset, lengthBytes }) => Array.from({ length: lengthBytes }, (_, i) => offset + i)));
}

function assertNormal(list: readonly Extent[]): void {
  let end = -1;
  for (const range of list) {
    assert.ok(range.lengthBytes > 0 && range.offset > end, JSON.stringify(list));
    end = extentEnd(range);
  }
}

function agrees(actual: readonly Extent[], expected: Set<number>): void {
  assertNormal(actual);
  assert.deepEqual(bytesOf(actual), expected);
  assert.equal(totalBytes(actual), expected.size);
}

describe('extent lists', () => {
  test('mean the same bytes when they are normal', () => {
    fc.assert(
      fc.property(anyExtents, (list) =>
        agrees(normalizeExtents(list), new Set([...bytesOf(list)].toSorted((a, b) => a - b))),
      ),
    );
  });

  test('are cut into pieces that follow each other, none larger than asked', () => {
    fc.assert(
      fc.property(fc.nat(volumeBytes), fc.nat(volumeBytes), fc.integer({ min: 1, max: 9 }), (offset, length, most) => {
        const pieces = cutUp(extent(offset, length), most);
        assert.deepEqual(
          pieces.map((piece) => piece.offset),
          pieces.map((_, at) => offset + at * most),
        );
        assert.ok(pieces.every(({ lengthBytes }) => lengthBytes > 0 && lengthBytes <= most));
        assert.equal(totalBytes(pieces), length);
      }),
    );
  });

  test('intersect, subtract and clip like sets of bytes', () => {
    fc.assert(
      fc.property(anyExtents, anyExtents, fc.nat(volumeBytes), fc.nat(volumeBytes), (one, other, from, length) => {
        const a = normalizeExtents(one);
        const b = normalizeExtents(other);
        agrees(intersectExtents(a, b), bytesOf(a).intersection(bytesOf(b)));
        agrees(subtractExtents(a, b), bytesOf(a).difference(bytesOf(b)));
        const bounds = extent(from, length);
        agrees(clipExtents(a, bounds), bytesOf(a).intersection(bytesOf([bounds])));
      }),
    );
  });

  test('grow to whole chunks and no further, the last one cut at the end of the volume', () => {
    fc.assert(
      fc.property(anyExtents, fc.integer({ min: 1, max: 20 }), (list, chunkBytes) => {
        const chunks = new Set([...bytesOf(list)].map((byte) => Math.floor(byte / chunkBytes)));
        const all = Array.from({ length: volumeBytes }, (_, byte) => byte);
        const expected = new Set(all.filter((byte) => chunks.has(Math.floor(byte / chunkBytes))));
        agrees(alignOutward(normalizeExtents(list), { chunkBytes, sizeBytes: volumeBytes }), expected);
      }),
    );
  });

  test('keep offsets beyond 32 bits', () => {
    const far = 5 * 1024 ** 3;
    const list = alignOutward([extent(far + 1, 2)], { chunkBytes: 1024 ** 2, sizeBytes: 2 ** 44 });
    assert.deepEqual(list, [extent(far, 1024 ** 2)]);
  });
});
