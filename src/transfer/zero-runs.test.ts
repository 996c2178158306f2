import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { dataRuns, isZero } from './zero-runs.ts';

const blockBytes = 64 * 1024;

test('zero runs > cover all bytes in order, and only zeros are called zero', () => {
  const block = fc.constantFrom('zero', 'data', 'one at the end');
  fc.assert(
    fc.property(fc.array(block, { maxLength: 12 }), fc.integer({ min: 0, max: blockBytes - 1 }), (blocks, tail) => {
      const bytes = Buffer.alloc(blocks.length * blockBytes + tail);
      for (const [index, kind] of blocks.entries()) {
        if (kind === 'data') bytes.fill(7, index * blockBytes, (index + 1) * blockBytes);
        if (kind === 'one at the end') bytes[(index + 1) * blockBytes - 1] = 1;
      }
      let at = 0;
      for (const { start, lengthBytes, zero } of dataRuns(bytes)) {
        assert.equal(start, at);
        assert.equal(zero, isZero(bytes.subarray(start, start + lengthBytes)));
        at += lengthBytes;
      }
      assert.equal(at, bytes.length);
    }),
  );
});

test('zero runs > equal neighbours are one run', () => {
  const bytes = Buffer.alloc(5 * blockBytes);
  bytes[2 * blockBytes + 5] = 1;
  assert.deepEqual(dataRuns(bytes), [
    { start: 0, lengthBytes: 2 * blockBytes, zero: true },
    { start: 2 * blockBytes, lengthBytes: blockBytes, zero: false },
    { start: 3 * blockBytes, lengthBytes: 2 * blockBytes, zero: true },
  ]);
});
