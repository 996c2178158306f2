import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { deflateRawSync, gunzipSync, gzipSync, inflateRawSync, zstdDecompressSync } from 'node:zlib';
import fc from 'fast-check';

import { zstdContext } from '../../kernel/zstd.ts';
import { RepositoryError } from '../repository-error.ts';
import { compress, compressionHeaderId, compressionName, compressorNames, decompress } from './compression.ts';

const text = Buffer.from('a line of text that repeats, '.repeat(400));

/** What Node has; S2 is read by a real kopia in test/interop. */
const readers = [
  ['zstd', zstdDecompressSync],
  ['gzip', gunzipSync],
  ['deflate', inflateRawSync],
] as const;

describe('compression', () => {
  it('puts the header id before one stream that anybody can read', () => {
    const expected = { none: 0, zstd: 0x1100, 'zstd-fastest': 0x1101, 'zstd-better-compression': 0x1102 };
    for (const [name, id] of Object.entries(expected)) assert.equal(compressionName(id), name);
    for (const name of compressorNames) {
      const packed = compress(name, text);
      if (name === 'none') {
        assert.equal(packed, undefined);
        continue;
      }
      assert.ok(packed !== undefined && packed.length < text.length);
      assert.equal(Buffer.from(packed).readUInt32BE(), compressionHeaderId(name));
      const read = readers.find(([family]) => name.includes(family))?.[1];
      if (read !== undefined) assert.ok(text.equals(read(packed.subarray(4))));
    }
  });

  it('keeps what does not become strictly smaller as it is', () => {
    assert.equal(compress('zstd-fastest', randomBytes(100_000)), undefined);
    let equal = 0;
    for (let random = 0; random < 40; random++) {
      for (let run = 0; run < 60; run++) {
        const plain = Buffer.concat([randomBytes(random), Buffer.alloc(run, 'a')]);
        const packed = compress('zstd-fastest', plain);
        assert.ok(packed === undefined || packed.length < plain.length);
        const frame = zstdContext().compressInto(1, plain, new Uint8Array(200));
        if (frame !== undefined && frame + 4 === plain.length) equal += 1;
      }
    }
    assert.ok(equal > 0, 'some contents would come out just as long');
  });

  it('restores what it compressed and refuses any other length', () => {
    for (const name of compressorNames) {
      const packed = compress(name, text);
      if (packed === undefined) continue;
      const id = compressionHeaderId(name);
      assert.ok(text.equals(decompress(id, packed, { originalLength: text.length })));
      for (const originalLength of [0, 1, text.length - 1, text.length + 1]) {
        assert.throws(() => decompress(id, packed, { originalLength }), { name: 'RepositoryError', code: 'corrupt' });
      }
      const other = id === 0x1100 ? 0x1101 : 0x1100;
      assert.throws(() => decompress(other, packed, { originalLength: text.length }), { code: 'corrupt' });
    }
  });

  it('reads what gzip and deflate make, and bounds it', () => {
    const streams = { 0x1000: gzipSync(text), 0x1300: gzipSync(text), 0x1500: deflateRawSync(text) };
    for (const [id, stream] of Object.entries(streams)) {
      const headerId = Number(id);
      const payload = Buffer.concat([Buffer.alloc(4), stream]);
      payload.writeUInt32BE(headerId);
      assert.ok(text.equals(decompress(headerId, payload, { originalLength: text.length })));
      for (const originalLength of [0, 1, text.length - 1, text.length + 1]) {
        assert.throws(() => decompress(headerId, payload, { originalLength }), { code: 'corrupt' });
      }
    }
  });

  it('names the algorithm that it does not know', () => {
    assert.throws(() => decompress(0x7777, text, { originalLength: 1 }), { code: 'unsupported', message: /0x7777/ });
  });

  it('answers arbitrary bytes with a RepositoryError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), fc.nat({ max: 1000 }), (junk, header, length) => {
        const payload = header ? Buffer.concat([Buffer.from('0000110128b52ffd', 'hex'), junk]) : junk;
        try {
          assert.equal(decompress(0x1101, payload, { originalLength: length }).length, length);
        } catch (error) {
          assert.ok(error instanceof RepositoryError);
        }
      }),
    );
  });
});
