import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';

import { hasCode } from '../../std/dray-error.ts';
import { cipher } from '../format/encryption.ts';
import { ErrorCorrection } from './error-correction.ts';
import { protectedCipher } from './protected-cipher.ts';
import { parityRegionBytes, ShardLayouts } from './shard-layout.ts';

const anyPercent = fc.constantFrom(1, 2, 3, 5, 6, 7, 20, 50, 100);
/** Around the lengths where the shape changes: some hundred bytes, and some ten thousand. */
const anyLength = fc.oneof(fc.nat({ max: 3000 }), fc.nat({ max: 300_000 }));

function wrapped(correction: ErrorCorrection, input: Uint8Array): Uint8Array {
  const out = new Uint8Array(correction.storedBytes(input.length));
  assert.equal(
    correction.wrapInto(input.length, (into) => into.set(input), out, 0),
    out.length,
  );
  return out;
}

test('error correction > what was wrapped is unwrapped, and never takes less room for more', () => {
  fc.assert(
    fc.property(anyPercent, anyLength, (percent, length) => {
      const correction = new ErrorCorrection(percent);
      const input = randomBytes(length);
      const stored = wrapped(correction, input);
      assert.ok(input.equals(correction.unwrap(stored)));
      assert.ok(input.equals(correction.mend(stored)));
      assert.ok(correction.storedBytes(length + 1) >= stored.length);
    }),
  );
});

test('error correction > as many damaged shards of each block as there are of parity are mended', () => {
  fc.assert(
    fc.property(anyPercent, anyLength, fc.infiniteStream(fc.nat()), (percent, length, numbers) => {
      const correction = new ErrorCorrection(percent);
      const input = randomBytes(length);
      const stored = wrapped(correction, input);
      const layout = new ShardLayouts(percent).ofInput(length);
      const stride = layout.shardBytes + 4;
      const storedShards = Math.ceil((stored.length - parityRegionBytes(layout)) / stride);
      const anyNumber = (below: number): number => (numbers.next().value ?? 0) % below;
      const region = parityRegionBytes(layout);
      for (let block = 0; block < layout.blocks; block++) {
        for (let hit = 0; hit < layout.parityShards; hit++) {
          const inBlock = Math.min(layout.dataShards, storedShards - block * layout.dataShards);
          const shard = anyNumber(inBlock + layout.parityShards);
          const begin =
            shard < inBlock
              ? region + (block * layout.dataShards + shard) * stride
              : (block * layout.parityShards + shard - inBlock) * stride;
          stored[begin + anyNumber(Math.min(stride, stored.length - begin))]! ^= 1 + anyNumber(255);
        }
      }
      assert.ok(input.equals(correction.mend(stored)));
    }),
  );
});

test('error correction > any bytes end in bytes or in corrupt', () => {
  fc.assert(
    fc.property(anyPercent, fc.uint8Array({ maxLength: 20_000 }), (percent, bytes) => {
      const correction = new ErrorCorrection(percent);
      for (const read of [() => correction.unwrap(bytes), () => correction.mend(bytes)]) {
        try {
          assert.ok(read().length <= bytes.length);
        } catch (error) {
          assert.ok(hasCode(error, 'corrupt'));
        }
      }
    }),
  );
});

test('error correction > a cipher inside it opens what is damaged within bounds, and nothing else', () => {
  const iv = randomBytes(16);
  const one = protectedCipher(cipher('AES256-GCM-HMAC-SHA256', randomBytes(32)), 2);
  const plain = randomBytes(70_000);
  const sealed = Buffer.alloc(one.sealedBytes(plain.length) + 5);
  assert.equal(one.sealInto(iv, plain, sealed, 5), sealed.length - 5);
  const stored = sealed.subarray(5);
  const out = Buffer.alloc(plain.length);
  assert.equal(one.openInto(iv, stored, out), plain.length);
  assert.ok(out.equals(plain));
  stored.fill(0, 40_000, 40_400);
  assert.equal(one.openInto(iv, stored, out), plain.length);
  assert.ok(out.equals(plain));
  stored.fill(0, 40_000, 44_000);
  assert.throws(() => one.openInto(iv, stored, out), { code: 'corrupt' });
  assert.ok(out.every((byte) => byte === 0));
});
