import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';

import { compressS2 } from './s2-encode.ts';
import { decompressS2 } from './s2.ts';

function roundTrip(plain: Uint8Array): number {
  const out = new Uint8Array(plain.length + 100 + Math.ceil(plain.length / 2 ** 20) * 8);
  const length = compressS2(plain, out);
  assert.ok(length !== undefined);
  const back = new Uint8Array(plain.length);
  assert.equal(decompressS2(out.subarray(0, length), back), plain.length);
  assert.ok(Buffer.from(plain).equals(back));
  return length;
}

/** Of runs, of what was there before at any distance, and of new bytes, in lengths about where the encodings change. */
const lengths = fc.oneof(
  fc.integer({ min: 1, max: 80 }),
  fc.constantFrom(255, 256, 257, 263, 264, 265, 300, 65_790, 65_800),
);
const piece = fc.record({
  kind: fc.constantFrom('run', 'again', 'new'),
  length: lengths,
  at: fc.nat(),
  byte: fc.nat(255),
});
const plains = fc.array(piece, { minLength: 1, maxLength: 40 }).map((pieces) => {
  let plain = Buffer.alloc(0);
  let state = 1;
  for (const { kind, length, at, byte } of pieces) {
    const from = plain.length === 0 ? 0 : at % plain.length;
    const added = Buffer.alloc(length, byte);
    if (kind === 'again') plain.copy(added, 0, from, from + length);
    if (kind === 'new')
      for (let n = 0; n < length; n++) added[n] = (state = (state * 1_103_515_245 + byte) >>> 0) >>> 16;
    plain = Buffer.concat([plain, added]);
  }
  return plain;
});

describe('an S2 stream', () => {
  test('has the bytes that went in', () => {
    fc.assert(
      fc.property(plains, (plain) => {
        roundTrip(plain);
      }),
      { numRuns: 300 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 3000 }), (plain) => {
        roundTrip(plain);
      }),
    );
  });

  test('is small where there is something to find, also far back and across a few MiB', () => {
    assert.ok(roundTrip(new Uint8Array(3 * 2 ** 20 + 17)) < 200);
    const text = Buffer.from('key=0001 value=something that repeats;'.repeat(20_000));
    assert.ok(roundTrip(text) < text.length / 20);
    const block = Buffer.from(Array.from({ length: 200_000 }, (_, n) => Math.imul(n, 2_654_435_761) >>> 24));
    assert.ok(roundTrip(Buffer.concat([block, block])) < block.length * 1.1);
  });

  test('that does not fit is given up, wherever the room ends', () => {
    const plain = Buffer.from('some words, some other words, some words again, and again and again and again');
    const whole = new Uint8Array(200);
    const length = compressS2(plain, whole)!;
    for (let room = 0; room < length; room++) {
      const memory = new Uint8Array(length + 1).fill(0xaa);
      assert.equal(compressS2(plain, memory.subarray(0, room)), undefined);
      assert.ok(memory.subarray(room).every((byte) => byte === 0xaa));
    }
    assert.equal(compressS2(plain, new Uint8Array(length)), length);
  });
});
