import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';

import { decompressLz4 } from './lz4.ts';
import { xxh32 } from './xxh32.ts';

interface Sequence {
  readonly literals: Uint8Array;
  readonly back: number;
  readonly length: number;
}

const sequence: fc.Arbitrary<Sequence> = fc.record({
  literals: fc.uint8Array({ minLength: 1, maxLength: 600 }),
  back: fc.nat({ max: 70_000 }),
  length: fc.integer({ min: 4, max: 700 }),
});

function u32(value: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt32LE(value >>> 0);
  return out;
}

function lengthBytes(length: number): number[] {
  const bytes: number[] = [];
  if (length < 15) return bytes;
  for (let rest = length - 15; ; rest -= 255) {
    bytes.push(Math.min(255, rest));
    if (rest < 255) return bytes;
  }
}

/** A block of these sequences; matches may reach back into `plain`, which grows. */
function encodeBlock(sequences: readonly Sequence[], last: Uint8Array, plain: number[]): Buffer {
  const parts: number[] = [];
  const literals = (bytes: Uint8Array, matchNibble: number): void => {
    parts.push((Math.min(15, bytes.length) << 4) | matchNibble, ...lengthBytes(bytes.length), ...bytes);
    plain.push(...bytes);
  };
  for (const { literals: bytes, back, length } of sequences) {
    literals(bytes, Math.min(15, length - 4));
    const distance = (back % Math.min(65_535, plain.length)) + 1;
    parts.push(distance & 255, distance >> 8, ...lengthBytes(length - 4));
    for (let n = 0; n < length; n++) plain.push(plain[plain.length - distance]!);
  }
  literals(last, 0);
  return Buffer.from(parts);
}

interface FrameParts {
  readonly blocks: readonly (readonly Sequence[])[];
  readonly raw: Uint8Array;
  readonly blockChecksums: boolean;
  readonly contentChecksum: boolean;
  readonly contentSize: boolean;
}

const frameParts: fc.Arbitrary<FrameParts> = fc.record({
  blocks: fc.array(fc.array(sequence, { maxLength: 5 }), { maxLength: 3 }),
  raw: fc.uint8Array({ minLength: 1, maxLength: 50 }),
  blockChecksums: fc.boolean(),
  contentChecksum: fc.boolean(),
  contentSize: fc.boolean(),
});

function frameOf(parts: FrameParts): { readonly frame: Buffer; readonly plain: Buffer } {
  const { blocks, raw, blockChecksums, contentChecksum, contentSize } = parts;
  const plain: number[] = [];
  const body: Buffer[] = [];
  const add = (block: Buffer, flag: number): void => {
    body.push(u32((block.length | flag) >>> 0), block);
    if (blockChecksums) body.push(u32(xxh32(block)));
  };
  for (const sequences of blocks) add(encodeBlock(sequences, Buffer.from('the end'), plain), 0);
  plain.push(...raw);
  add(Buffer.from(raw), 0x8000_0000);
  const whole = Buffer.from(plain);
  const flags = 0x40 | (blockChecksums ? 0x10 : 0) | (contentSize ? 0x08 : 0) | (contentChecksum ? 0x04 : 0);
  const size = contentSize ? Buffer.concat([u32(whole.length), u32(0)]) : Buffer.alloc(0);
  const descriptor = Buffer.concat([Buffer.of(flags, 0x70), size]);
  const head = Buffer.concat([u32(0x184d2204), descriptor, Buffer.of((xxh32(descriptor) >>> 8) & 0xff)]);
  const end = contentChecksum ? Buffer.concat([u32(0), u32(xxh32(whole))]) : u32(0);
  return { frame: Buffer.concat([head, ...body, end]), plain: whole };
}

describe('LZ4', () => {
  test('frames of every kind are what they stand for', () => {
    fc.assert(
      fc.property(frameParts, (parts) => {
        const { frame, plain } = frameOf(parts);
        const out = new Uint8Array(plain.length);
        assert.equal(decompressLz4(frame, out), plain.length);
        assert.ok(plain.equals(out));
        assert.equal(decompressLz4(frame, new Uint8Array(plain.length - 1)), undefined);
      }),
      { numRuns: 300 },
    );
  });

  test('a changed byte is noticed where there is a checksum, and nothing makes it throw', () => {
    fc.assert(
      fc.property(frameParts, fc.nat(), fc.integer({ min: 1, max: 255 }), (parts, position, change) => {
        const { frame, plain } = frameOf({ ...parts, contentChecksum: true });
        const at = position % frame.length;
        frame[at]! ^= change;
        const out = new Uint8Array(plain.length);
        const length = decompressLz4(frame, out);
        // The header's own checksum has eight bits: one change of it in 256 passes, and may say that there is no other.
        const inHeader = at < (parts.contentSize ? 15 : 7);
        if (length !== undefined && !inHeader) assert.ok(plain.equals(out.subarray(0, length)));
      }),
      { numRuns: 1000 },
    );
    fc.assert(
      fc.property(frameParts, fc.uint8Array({ maxLength: 100 }), (parts, junk) => {
        const { frame } = frameOf(parts);
        const length = decompressLz4(Buffer.concat([frame.subarray(0, 7), junk]), new Uint8Array(100));
        assert.ok(length === undefined || length <= 100);
      }),
    );
  });

  test('a frame with flags that are reserved is not understood', () => {
    const { frame } = frameOf({
      blocks: [],
      raw: Buffer.from('raw'),
      blockChecksums: false,
      contentChecksum: false,
      contentSize: false,
    });
    assert.equal(decompressLz4(frame, new Uint8Array(3)), 3);
    frame[4]! |= 0x02;
    frame[6] = (xxh32(frame.subarray(4, 6)) >>> 8) & 0xff;
    assert.equal(decompressLz4(frame, new Uint8Array(3)), undefined);
  });

  test('the checksum is xxHash’s', () => {
    const known = { '': 0x02cc_5d05, a: 0x550d_7456, abc: 0x32d1_53ff };
    for (const [text, hash] of Object.entries(known)) assert.equal(xxh32(Buffer.from(text)), hash);
    assert.equal(xxh32(Buffer.from('Nobody inspects the spammish repetition')), 0xe229_3b2f);
  });
});
