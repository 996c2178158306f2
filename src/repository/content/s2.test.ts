import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';

import { crc32c } from './crc32c.ts';
import { decompressS2 } from './s2.ts';

const identifier = Buffer.concat([Buffer.of(0xff, 6, 0, 0), Buffer.from('S2sTwO')]);

function le(value: number, bytes: number): Buffer {
  const out = Buffer.alloc(bytes);
  if (bytes > 0) out.writeUIntLE(value, 0, bytes);
  return out;
}

function masked(plain: Uint8Array): Buffer {
  const crc = crc32c(plain);
  return le((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0, 4);
}

function chunk(type: number, body: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(type), le(body.length, 3), body]);
}

function uvarint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    bytes.push((rest % 128) + (rest >= 128 ? 128 : 0));
    if (rest < 128) return Buffer.from(bytes);
  }
}

/** One element, in each of the forms that the format has for it. */
type Step =
  | { readonly kind: 'literal'; readonly bytes: Uint8Array; readonly wide: number }
  | { readonly kind: 'copy'; readonly form: 1 | 2 | 3; readonly back: number; readonly length: number }
  | { readonly kind: 'repeat'; readonly form: number; readonly extra: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('literal' as const),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 300 }),
    wide: fc.nat({ max: 4 }),
  }),
  fc.record({
    kind: fc.constant('copy' as const),
    form: fc.constantFrom(1 as const, 2 as const, 3 as const),
    back: fc.nat({ max: 4000 }),
    length: fc.integer({ min: 1, max: 64 }),
  }),
  fc.record({
    kind: fc.constant('repeat' as const),
    form: fc.nat({ max: 7 }),
    extra: fc.nat({ max: 255 }),
  }),
);

/** The block of these steps, and what it stands for, by the plainest means. */
function encode(steps: readonly Step[]): { readonly block: Buffer; readonly plain: Buffer } {
  const parts: Buffer[] = [];
  const plain: number[] = [];
  let distance = 0;
  const repeat = (length: number): void => {
    for (let n = 0; n < length; n++) plain.push(plain[plain.length - distance]!);
  };
  for (const each of steps) {
    if (each.kind === 'literal') {
      const length = each.bytes.length;
      const lengthBytes = Math.max(each.wide, length > 256 ? 2 : length > 60 ? 1 : 0);
      const tag = lengthBytes === 0 ? length - 1 : 59 + lengthBytes;
      const wide = lengthBytes === 0 ? Buffer.alloc(0) : le(length - 1, lengthBytes);
      parts.push(Buffer.of(tag << 2), wide, Buffer.from(each.bytes));
      plain.push(...each.bytes);
    } else if (each.kind === 'copy' && plain.length > 0) {
      distance = (each.back % Math.min(plain.length, each.form === 1 ? 2047 : 65_535)) + 1;
      const length = each.form === 1 ? (each.length % 8) + 4 : each.length;
      if (each.form === 1) parts.push(Buffer.of(((length - 4) << 2) | ((distance >> 8) << 5) | 1, distance & 255));
      else parts.push(Buffer.of(((length - 1) << 2) | each.form), le(distance, each.form === 2 ? 2 : 4));
      repeat(length);
    } else if (each.kind === 'repeat' && distance > 0) {
      const extraBytes = Math.max(0, each.form - 4);
      parts.push(Buffer.of((each.form << 2) | 1, 0), le(each.extra, extraBytes));
      repeat(extraBytes === 0 ? each.form + 4 : each.extra + [8, 260, 65_540][extraBytes - 1]!);
    }
  }
  return { block: Buffer.concat([uvarint(plain.length), ...parts]), plain: Buffer.from(plain) };
}

function streamOf({ block, plain }: { readonly block: Uint8Array; readonly plain: Uint8Array }): Buffer {
  return Buffer.concat([identifier, chunk(0, Buffer.concat([masked(plain), block]))]);
}

const steps = fc.array(step, { maxLength: 12 });

describe('S2', () => {
  test('every kind of element, in every form, is what it stands for', () => {
    fc.assert(
      fc.property(steps, (each) => {
        const encoded = encode(each);
        const out = new Uint8Array(encoded.plain.length + 10);
        assert.equal(decompressS2(streamOf(encoded), out), encoded.plain.length);
        assert.ok(encoded.plain.equals(out.subarray(0, encoded.plain.length)));
      }),
      { numRuns: 500 },
    );
  });

  test('chunks follow each other, compressed and not; what may be passed over is', () => {
    const one = Buffer.from('first');
    const raw = chunk(1, Buffer.concat([masked(one), one]));
    const encoded = encode([{ kind: 'literal', bytes: Buffer.from('second'), wide: 0 }]);
    const padding = chunk(0xfe, Buffer.alloc(100));
    const stream = Buffer.concat([identifier, raw, padding, identifier, streamOf(encoded).subarray(identifier.length)]);
    const out = new Uint8Array(11);
    assert.equal(decompressS2(stream, out), 11);
    assert.equal(Buffer.from(out).toString(), 'firstsecond');
    assert.equal(decompressS2(stream, new Uint8Array(10)), undefined);
    assert.equal(decompressS2(stream.subarray(identifier.length), out), undefined);
    assert.equal(decompressS2(Buffer.concat([identifier, chunk(0x02, one)]), out), undefined);
  });

  test('a changed byte is noticed, and nothing makes it throw', () => {
    fc.assert(
      fc.property(steps, fc.nat(), fc.integer({ min: 1, max: 255 }), (each, position, change) => {
        const encoded = encode(each);
        const stream = streamOf(encoded);
        const at = position % stream.length;
        stream[at]! ^= change;
        const out = new Uint8Array(encoded.plain.length);
        const length = decompressS2(stream, out);
        // A chunk of another type may have become one to pass over.
        if (length === undefined || length === 0) return;
        assert.ok(encoded.plain.equals(out.subarray(0, length)));
      }),
      { numRuns: 1000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (junk) => {
        const length = decompressS2(Buffer.concat([identifier, junk]), new Uint8Array(100));
        assert.ok(length === undefined || length <= 100);
      }),
    );
  });

  test('the checksum is Castagnoli’s', () => {
    // RFC 3720, appendix B.4, and the usual check value.
    assert.equal(crc32c(Buffer.from('123456789')), 0xe306_9283);
    assert.equal(crc32c(new Uint8Array(32)), 0x8a91_36aa);
    assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8_ab43);
  });
});
