import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';

import { nativeZstdContext, NodeZstdContext, type ZstdContext } from './zstd.ts';

const native = nativeZstdContext();
const implementations: readonly (readonly [string, ZstdContext | undefined])[] = [
  ['of the binary', native],
  ['of node:zlib', new NodeZstdContext()],
];

const compressible = fc
  .tuple(fc.uint8Array({ maxLength: 50 }), fc.nat({ max: 200 }), fc.uint8Array({ maxLength: 500 }))
  .map(([piece, times, rest]) => Buffer.concat([...Array.from({ length: times }, () => piece), rest]));

const magicBytes = 4;

for (const [name, zstd] of implementations) {
  describe(`zstd ${name}`, { skip: zstd === undefined ? 'this Node does not export zstd' : false }, () => {
    assert.ok(zstd !== undefined);

    it('restores what it compressed, at every level used', () => {
      fc.assert(
        fc.property(compressible, fc.constantFrom(1, 3, 7, 11), (plain, level) => {
          const frame = new Uint8Array(plain.length + 600);
          const length = zstd.compressInto(level, plain, frame);
          assert.ok(length !== undefined && length <= frame.length);
          const out = new Uint8Array(plain.length);
          assert.equal(zstd.decompressInto(frame.subarray(0, length), out), plain.length);
          assert.ok(plain.equals(out));
        }),
      );
    });

    it('writes a frame without checksum, and one level after another', () => {
      const plain = Buffer.alloc(300_000, 'abcdefgh');
      const sizes = [1, 11, 1].map((level) => {
        const frame = new Uint8Array(plain.length);
        const length = zstd.compressInto(level, plain, frame);
        assert.equal(frame[4]! & 4, 0, 'the checksum flag of the frame header');
        return length;
      });
      assert.equal(sizes[0], sizes[2]);
    });

    it('says undefined when the output is too small, and writes no byte behind it', () => {
      const plain = Buffer.from(Array.from({ length: 4000 }, (_, at) => (at * at * 31 + at * 7) & 0xff));
      const whole = new Uint8Array(5000);
      const needed = zstd.compressInto(1, plain, whole);
      assert.ok(needed !== undefined);
      for (const room of [0, 1, 17, needed - 1]) {
        const memory = new Uint8Array(5000).fill(0x55);
        assert.equal(zstd.compressInto(1, plain, memory.subarray(0, room)), undefined);
        assert.ok(memory.subarray(room).every((byte) => byte === 0x55));
      }
      for (const room of [0, 1, 3999]) {
        const memory = new Uint8Array(5000).fill(0x55);
        assert.equal(zstd.decompressInto(whole.subarray(0, needed), memory.subarray(0, room)), undefined);
        assert.ok(memory.subarray(room).every((byte) => byte === 0x55));
      }
    });

    it('says undefined for bytes that are no frame or a damaged one', () => {
      const plain = Buffer.alloc(10_000, 'some text ');
      const frame = new Uint8Array(1000);
      const length = zstd.compressInto(3, plain, frame);
      assert.ok(length !== undefined);
      const memory = new Uint8Array(plain.length + 100).fill(0x55);
      const out = memory.subarray(0, plain.length);
      fc.assert(
        fc.property(fc.nat({ max: length - 1 }), fc.integer({ min: 1, max: 255 }), (at, change) => {
          const damaged = frame.slice(0, length);
          damaged[at]! ^= change;
          const found = zstd.decompressInto(damaged, out);
          // The seal around a frame tells damage in its middle; here its beginning must be a frame's, and its end be met.
          assert.ok(found === undefined || (at >= magicBytes && found <= out.length));
          assert.ok(
            memory.subarray(out.length).every((byte) => byte === 0x55),
            'wrote behind the output',
          );
        }),
      );
      fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (junk) => void zstd.decompressInto(junk, out)));
    });
  });
}

describe('zstd', () => {
  it(
    'gives the same frames either way',
    { skip: native === undefined ? 'this Node does not export zstd' : false },
    () => {
      const other = new NodeZstdContext();
      for (const level of [1, 3, 7, 11]) {
        const plain = Buffer.alloc(1_500_000, 'the same text again and again, ');
        const frames = [native, other].map((zstd) => {
          const out = new Uint8Array(plain.length);
          return Buffer.from(out.subarray(0, zstd?.compressInto(level, plain, out)));
        });
        assert.ok(frames[0]!.equals(frames[1]!));
      }
    },
  );

  it('keeps the window at 8 MiB or less for contents of any length', () => {
    const plain = Buffer.alloc(24 * 1024 * 1024, 'x');
    const out = new Uint8Array(plain.length);
    for (const level of [1, 3, 7, 11]) {
      (native ?? new NodeZstdContext()).compressInto(level, plain, out);
      // RFC 8878, 3.1.1.1: no single segment, so a window descriptor follows: exponent and mantissa.
      assert.equal(out[4]! & 0x20, 0);
      const base = 2 ** (10 + (out[5]! >> 3));
      assert.ok(base + (base / 8) * (out[5]! & 7) <= 8 * 1024 * 1024);
    }
  });
});
