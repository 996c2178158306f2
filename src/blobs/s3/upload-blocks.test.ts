import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';

import { blockBytes, BlockPool, HeldBytes } from './upload-blocks.ts';

test('held bytes > are those of all pieces in order, whatever was dropped before them', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 3 * blockBytes }), { maxLength: 8 }),
      fc.integer({ min: 0, max: 4 }),
      (lengths, droppedBlocks) => {
        const held = new HeldBytes(new BlockPool());
        const pieces = lengths.map((length) => randomBytes(length));
        for (const piece of pieces) held.append(piece);
        const all = Buffer.concat(pieces);
        assert.equal(held.lengthBytes, all.length);
        const dropped = droppedBlocks * blockBytes;
        assert.deepEqual(Buffer.concat(held.first(dropped)), all.subarray(0, dropped));
        held.drop(dropped);
        assert.deepEqual(Buffer.concat(held.first(Number.POSITIVE_INFINITY)), all.subarray(dropped));
        held.append(Buffer.from('more'));
        assert.deepEqual(
          Buffer.concat(held.first(Number.POSITIVE_INFINITY)),
          Buffer.concat([all.subarray(dropped), Buffer.from('more')]),
        );
      },
    ),
    { numRuns: 50 },
  );
});

test('held bytes > are copies: a piece may change at once', () => {
  const held = new HeldBytes(new BlockPool());
  const piece = Buffer.from('0123456789');
  held.append(piece);
  piece.fill(0);
  assert.equal(Buffer.concat(held.first(100)).toString(), '0123456789');
});

test('held bytes > take blocks that were given back, and no more than a few packs are kept', () => {
  const pool = new BlockPool();
  const held = new HeldBytes(pool);
  for (let n = 0; n < 100; n++) held.append(Buffer.alloc(1024 * 1024, n));
  const before = new Set(held.first(Number.POSITIVE_INFINITY).map(({ buffer }) => buffer));
  held.drop(Number.POSITIVE_INFINITY);
  const next = new HeldBytes(pool);
  for (let n = 0; n < 100; n++) next.append(Buffer.alloc(1024 * 1024, n));
  const after = new Set(next.first(Number.POSITIVE_INFINITY).map(({ buffer }) => buffer));
  assert.equal(before.intersection(after).size, (72 * 1024 * 1024) / blockBytes);
});
