import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';

import { blobId } from '../../blobs/blob-store.ts';
import { fixtureNames, openFixture, readFixture, testFormat } from '../format/format-fixtures.ts';
import { hashNames } from '../format/hashing.ts';
import { RepositoryError } from '../repository-error.ts';
import { compressorNames } from './compression.ts';
import { ContentCodec, type SealedContent } from './content-codec.ts';
import { contentId, contentIdOf } from './content-id.ts';
import { decodeSessionMarker } from './session.ts';

function sealed(codec: ContentCodec, plain: Uint8Array, compressor: (typeof compressorNames)[number]) {
  const id = codec.idOf(plain, '');
  const out = new Uint8Array(plain.length + 28 + 64);
  const { packedLength, compression } = codec.sealInto(id, plain, compressor, out, 5);
  const entry: SealedContent = { contentId: id, compression, originalLength: plain.length, encryptionKeyId: 0 };
  return { entry, bytes: out.slice(5, 5 + packedLength), room: out.length - 5 };
}

describe('content codec', () => {
  it('opens what it sealed, with every hash, cipher and compressor, and verifies it', () => {
    const anyFormat = fc.record({
      hash: fc.constantFrom(...hashNames),
      encryption: fc.constantFrom('AES256-GCM-HMAC-SHA256', 'CHACHA20-POLY1305-HMAC-SHA256'),
    });
    const anyPlain = fc
      .tuple(fc.uint8Array({ maxLength: 40 }), fc.nat({ max: 100 }))
      .map(([piece, times]) => Buffer.concat(Array.from({ length: times }, () => piece)));
    fc.assert(
      fc.property(anyFormat, anyPlain, fc.constantFrom(...compressorNames), (names, plain, compressor) => {
        const codec = new ContentCodec({ ...testFormat, ...names });
        const { entry, bytes } = sealed(codec, plain, compressor);
        assert.ok(bytes.length <= plain.length + 28);
        assert.ok(plain.equals(codec.open(entry, bytes, { verify: true })));
        const out = new Uint8Array(plain.length + 3).fill(9);
        codec.openInto(entry, bytes, out);
        assert.ok(plain.equals(out.subarray(0, plain.length)) && out.at(-1) === 9);
      }),
      { numRuns: 300 },
    );
  });

  it('needs no more room than the content and 28 bytes, also for random data', () => {
    const codec = new ContentCodec(testFormat);
    const plain = randomBytes(1024 * 1024);
    const out = new Uint8Array(plain.length + 28);
    const { packedLength, compression } = codec.sealInto(codec.idOf(plain, ''), plain, 'zstd-fastest', out, 0);
    assert.deepEqual({ packedLength, compression }, { packedLength: out.length, compression: 0 });
  });

  it('calls every content that differs from its entry corrupt', () => {
    const codec = new ContentCodec(testFormat);
    const { entry, bytes } = sealed(codec, Buffer.alloc(1000, 'abc'), 'zstd-fastest');
    const corrupt = { name: 'RepositoryError', code: 'corrupt' };
    const other = contentId('00'.repeat(32));
    assert.throws(() => codec.open({ ...entry, contentId: other }, bytes), corrupt);
    for (const originalLength of [0, 999, 1001, -1, 0.5, 2 ** 28, Number.NaN]) {
      assert.throws(() => codec.open({ ...entry, originalLength }, bytes), corrupt);
    }
    assert.throws(() => codec.open({ ...entry, compression: 0 }, bytes), corrupt);
    assert.throws(() => codec.open({ ...entry, compression: 0x1100 }, bytes), corrupt);
    for (let length = 0; length < bytes.length; length++) {
      assert.throws(() => codec.open(entry, bytes.subarray(0, length)), corrupt);
    }
    fc.assert(
      fc.property(fc.nat({ max: bytes.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const damaged = bytes.slice();
        damaged[at]! ^= change;
        assert.throws(() => codec.open(entry, damaged), corrupt);
      }),
    );
  });

  it('refuses another key, and another algorithm by its name', () => {
    const codec = new ContentCodec(testFormat);
    const { entry, bytes } = sealed(codec, Buffer.alloc(1000, 'abc'), 'zstd');
    assert.throws(() => codec.open({ ...entry, encryptionKeyId: 1 }, bytes), { code: 'unsupported' });
    assert.throws(
      () => codec.open({ ...entry, compression: 0x7777 }, bytes),
      (error: unknown) => {
        assert.ok(error instanceof RepositoryError && error.code === 'unsupported');
        return /0x7777/.test(String((error.cause as Error).message));
      },
    );
  });

  it('finds by verification that a writer named the wrong bytes', () => {
    const codec = new ContentCodec(testFormat);
    const plain = Buffer.from('not what the id says');
    const hash = codec.hash(plain);
    hash[0]! ^= 1; // outside the last 16 bytes, so the cipher cannot notice
    const id = contentIdOf('k', hash);
    const out = new Uint8Array(200);
    const { packedLength } = codec.sealInto(id, plain, 'none', out, 0);
    const entry = { contentId: id, compression: 0, originalLength: plain.length, encryptionKeyId: 0 };
    assert.ok(plain.equals(codec.open(entry, out.subarray(0, packedLength))));
    const verified = (): unknown => codec.open(entry, out.subarray(0, packedLength), { verify: true });
    assert.throws(verified, { code: 'corrupt', message: /another hash/ });
  });

  it('names blobs by their hash and finds the iv in the name again', () => {
    const codec = new ContentCodec({ ...testFormat, hash: 'BLAKE2B-256-128' });
    const plain = Buffer.from('index bytes');
    for (const [prefix, suffix] of [
      ['xn0_', 's0123456789abcdef123-c1'],
      ['s', 's0123456789abcdef123'],
      ['n', ''],
      ['xr0_6_', 's0123456789abcdef-c1'],
    ] as const) {
      const { id, bytes } = codec.sealNamed(prefix, suffix, plain);
      assert.equal(id, `${prefix}${codec.hash(plain).toString('hex')}${suffix === '' ? '' : '-'}${suffix}`);
      assert.ok(plain.equals(codec.openNamed(id, bytes)));
      assert.throws(() => codec.openNamed(blobId(`${prefix}${'0'.repeat(32)}-x`), bytes), { code: 'corrupt' });
    }
  });

  it('refuses blob names that hold no hash', () => {
    const codec = new ContentCodec(testFormat);
    const { bytes } = codec.sealNamed('xn0_', 's1-c1', Buffer.from('x'));
    for (const name of [
      'x',
      'xn0_',
      'xn0_-c1',
      `xn0_${'A'.repeat(32)}`,
      `x-${'a'.repeat(32)}`,
      `${'a'.repeat(31)}-s`,
    ]) {
      assert.throws(() => codec.openNamed(blobId(name), bytes), { code: 'corrupt' });
    }
  });

  it('names the worked example of the index format as Kopia does', () => {
    const codec = new ContentCodec({ ...testFormat, hash: 'BLAKE2B-256-128' });
    assert.equal(codec.idOf(Buffer.from('hello'), 'k'), 'kbc2cf927f9ed52cc29116e6a5cfdbdf9');
  });
});

describe("content codec on Kopia's repositories", () => {
  for (const name of fixtureNames()) {
    it(`opens and verifies every content and every named blob of ${name}`, async () => {
      const fixture = readFixture(name);
      const { format: opened } = await openFixture(fixture);
      const codec = new ContentCodec(opened);
      for (const item of fixture.expected.contents) {
        const pack = fixture.blobs.get(blobId(item.packFile));
        assert.ok(pack !== undefined);
        const id = contentId(item.contentID);
        const compression = item.compression ?? 0;
        const entry = { contentId: id, compression, originalLength: item.originalLength, encryptionKeyId: 0 };
        const bytes = pack.subarray(item.packOffset, item.packOffset + item.length);
        assert.equal(codec.open(entry, bytes, { verify: true }).length, item.originalLength);
      }
      for (const [id, bytes] of fixture.blobs) {
        if (/^(?:x[nsr]|n(?!0{32}))/.test(id)) assert.ok([1, 2].includes(codec.openNamed(id, bytes)[0]!));
        if (id.startsWith('s')) assert.match(decodeSessionMarker(codec, id, bytes).host, /./);
      }
    });
  }
});
