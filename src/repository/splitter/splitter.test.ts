import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';

import { seededRng } from '../../std/rng.ts';
import { buzhash } from './buzhash.ts';
import { DynamicSplitter, type HashFamily, type Splitter, splitterOf } from './splitter.ts';

interface Vectors {
  readonly streamSha256: string;
  /** All lengths, or how many chunks of one. */
  readonly splitters: Readonly<
    Record<string, { readonly lengths?: readonly number[]; readonly chunks: number; readonly length?: number }>
  >;
}

/** What kopia 0.23.1 made of 64 MiB, by every splitter that it has. */
const vectors = JSON.parse(
  readFileSync(new URL('../../../test/fixtures/kopia/splitter-vectors.json', import.meta.url), 'utf8'),
) as Vectors;

function vectorStream(): Buffer {
  const blockBytes = 32;
  const stream = Buffer.alloc(64 * 1024 * 1024);
  const counted = Buffer.from('kopia....');
  for (let block = 0; block < stream.length / blockBytes; block += 1) {
    counted.writeUInt32BE(block, 5);
    stream.set(hash('sha256', counted, 'buffer'), block * blockBytes);
  }
  return stream;
}

/** The lengths of the chunks of bytes that come in pieces of these lengths, in turns. */
function chunks(splitter: Splitter, bytes: Uint8Array, pieces: readonly number[]): number[] {
  const lengths: number[] = [];
  let length = 0;
  for (let from = 0, turn = 0; from < bytes.length; turn += 1) {
    const piece = bytes.subarray(from, from + pieces[turn % pieces.length]!);
    let at = 0;
    for (let end = splitter.next(piece, at); end !== undefined; end = splitter.next(piece, at)) {
      assert.ok(end > at && end <= piece.length);
      lengths.push(length + end - at);
      length = 0;
      at = end;
    }
    length += piece.length - at;
    from += piece.length;
  }
  splitter.reset();
  return length > 0 ? [...lengths, length] : lengths;
}

describe('splitters', () => {
  const stream = vectorStream();
  assert.equal(hash('sha256', stream), vectors.streamSha256);
  for (const [name, { lengths, chunks: count, length }] of Object.entries(vectors.splitters)) {
    test(`${name} > cuts 64 MiB as kopia does`, () => {
      assert.deepEqual(
        chunks(splitterOf(name), stream, [1_000_003]),
        lengths ?? Array.from({ length: count }, () => length),
      );
    });
  }

  test('each > is used again after a reset, and cuts nothing out of nothing', () => {
    const small = stream.subarray(0, 3_000_000);
    for (const name of ['FIXED-128K', 'DYNAMIC-256K-BUZHASH', 'DYNAMIC-256K-RABINKARP']) {
      const splitter = splitterOf(name);
      assert.equal(splitter.next(small.subarray(0, 200_000), 200_000), undefined);
      const first = chunks(splitter, small, [70_000]);
      splitter.next(small.subarray(0, 100_000), 0);
      splitter.reset();
      assert.deepEqual(chunks(splitter, small, [small.length]), first);
      assert.deepEqual(chunks(splitter, new Uint8Array(0), [1]), []);
    }
  });

  test('by content > finds its cuts again behind what was inserted', () => {
    const small = stream.subarray(0, 6_000_000);
    const lengths = chunks(splitterOf('DYNAMIC-128K-BUZHASH'), small, [small.length]);
    const moved = chunks(splitterOf('DYNAMIC-128K-BUZHASH'), Buffer.concat([Buffer.alloc(1234, 5), small]), [9999]);
    assert.deepEqual(moved.slice(-15), lengths.slice(-15));
  });

  test('a name that kopia does not know > is refused', () => {
    for (const name of ['', 'DYNAMIC-3M-BUZHASH', 'FIXED-16M', 'dynamic']) {
      assert.throws(() => splitterOf(name), { code: 'unsupported' });
    }
    assert.ok(splitterOf('DYNAMIC') instanceof DynamicSplitter);
  });

  for (const family of ['BUZHASH', 'RABINKARP'] as const) {
    test(`${family} > in whatever pieces, cuts where the hash of the last 64 bytes, computed anew, says so`, () => {
      fc.assert(
        fc.property(
          fc.nat(),
          fc.integer({ min: 0, max: 20_000 }),
          fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 20 }),
          fc.constantFrom(2, 256),
          (seed, lengthBytes, pieces, values) => {
            const bytes = seededRng(seed)
              .bytes(lengthBytes)
              .map((byte) => byte % values);
            assert.deepEqual(chunks(new DynamicSplitter(family, 256), bytes, pieces), plainChunks(family, bytes, 256));
          },
        ),
        { numRuns: family === 'BUZHASH' ? 60 : 12 },
      );
    });
  }
});

/** By the definition: nothing is rolled, everything is computed anew for each byte. */
function plainChunks(family: HashFamily, bytes: Uint8Array, averageBytes: number): number[] {
  const lengths: number[] = [];
  for (let from = 0; from < bytes.length;) {
    let length = averageBytes / 2;
    const isCut = (): boolean =>
      length === 2 * averageBytes ||
      lowBits(family, bytes.subarray(from + length - 64, from + length)) % averageBytes === 0;
    while (from + length < bytes.length && !isCut()) length += 1;
    lengths.push(Math.min(length, bytes.length - from));
    from += length;
  }
  return lengths;
}

const buzhashTable = new Uint32Array(new Uint8Array(buzhash.tables).buffer);

function lowBits(family: HashFamily, window: Uint8Array): number {
  if (family === 'BUZHASH') {
    return window.reduce((h, byte) => ((h << 1) | (h >>> 31)) ^ buzhashTable[byte]!, 0) >>> 0;
  }
  const polynomial = 0x2e3e3e4a305605n;
  let rest = BigInt(`0x${Buffer.from(window).toString('hex')}`);
  for (let at = 511n; at >= 53n; at -= 1n) if (((rest >> at) & 1n) === 1n) rest ^= polynomial << (at - 53n);
  return Number(BigInt.asUintN(32, rest));
}
