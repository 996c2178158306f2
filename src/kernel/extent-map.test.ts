import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { hasCode } from '../std/dray-error.ts';
import { decodePage, extentFlags } from './extent-map.ts';

type Row = readonly [logical: number, physical: number, lengthBytes: number, flags: number];

/** The kernel's answer: linux/fiemap.h. */
function answer(rows: readonly Row[], room: number = rows.length): Buffer {
  const bytes = Buffer.alloc(32 + room * 56);
  bytes.writeUInt32LE(rows.length, 20);
  for (const [index, [logical, physical, lengthBytes, flags]] of rows.entries()) {
    const at = 32 + index * 56;
    if (at + 56 > bytes.length) break;
    bytes.writeBigUInt64LE(BigInt(logical), at);
    bytes.writeBigUInt64LE(BigInt(physical), at + 8);
    bytes.writeBigUInt64LE(BigInt(lengthBytes), at + 16);
    bytes.writeUInt32LE(flags, at + 40);
  }
  return bytes;
}

const { last, encoded, unwritten } = extentFlags;
const range = { offset: 1000, lengthBytes: 5000 };

describe('extent map', () => {
  test('clips what begins before the range and what ends after it, and moves plain addresses along', () => {
    const { extents, coveredTo } = decodePage(
      answer([
        [0, 70_000, 2000, 0],
        [3000, 90_000, 9000, unwritten],
      ]),
      range,
    );
    assert.deepEqual(extents, [
      { logical: 1000, physical: 71_000, lengthBytes: 1000, flags: 0 },
      { logical: 3000, physical: 90_000, lengthBytes: 3000, flags: unwritten },
    ]);
    assert.equal(coveredTo, 6000);
  });

  test('moves no address within a compressed extent', () => {
    const { extents } = decodePage(answer([[0, 70_000, 2000, encoded]]), range);
    assert.deepEqual(extents, [{ logical: 1000, physical: 70_000, lengthBytes: 1000, flags: encoded }]);
  });

  test('covers the range when the kernel says last or has nothing, else up to the last extent told', () => {
    assert.equal(decodePage(answer([[2000, 1, 500, last]]), range).coveredTo, 6000);
    assert.equal(decodePage(answer([], 4), range).coveredTo, 6000);
    // Room for more, and no word of an end.
    assert.equal(decodePage(answer([[2000, 1, 500, 0]], 4), range).coveredTo, 2500);
  });

  test('leaves out what lies behind the range', () => {
    const page = decodePage(answer([[6000, 1, 500, 0]]), range);
    assert.deepEqual(page, { extents: [], coveredTo: 6000 });
  });

  test('keeps sizes above 4 GiB whole', () => {
    const far = 2 ** 45 + 4096;
    const wide = { offset: 0, lengthBytes: 2 ** 50 };
    const { extents } = decodePage(answer([[far, 2 ** 46 + 512, 2 ** 33, last]]), wide);
    assert.deepEqual(extents, [{ logical: far, physical: 2 ** 46 + 512, lengthBytes: 2 ** 33, flags: last }]);
  });

  for (const [what, rows, room] of [
    [
      'not sorted',
      [
        [4000, 1, 500, 0],
        [2000, 1, 500, 0],
      ],
      2,
    ],
    [
      'that overlap',
      [
        [2000, 1, 500, 0],
        [2400, 1, 500, 0],
      ],
      2,
    ],
    ['of no length', [[2000, 1, 0, 0]], 1],
    ['wholly before the range', [[0, 1, 1000, 0]], 1],
    [
      'more than there was room for',
      [
        [2000, 1, 500, 0],
        [3000, 1, 500, 0],
      ],
      1,
    ],
    ['past every size', [[2 ** 60, 1, 500, 0]], 1],
  ] as const) {
    test(`refuses extents ${what}`, () => {
      const isRefused = (error: unknown): boolean => hasCode(error, 'kernel-failed') && /EUCLEAN/.test(error.message);
      assert.throws(() => decodePage(answer(rows, room), range), isRefused);
    });
  }
});
