import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';

import { seededRng } from '../../std/rng.ts';
import { openFixture, readFixture, testFormat } from '../format/format-fixtures.ts';
import { RepositoryError } from '../repository-error.ts';
import { ContentCodec } from './content-codec.ts';
import { decodePostamble, encodePackTail, encodePostamble, packPreamble, readLocalIndex } from './pack-format.ts';

const codec = new ContentCodec(testFormat);
const rng = seededRng(1);

/** Nothing but RepositoryErrors with code `corrupt` leaves a decoder. */
function corruptOr<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    assert.ok(error instanceof RepositoryError && error.code === 'corrupt', String(error));
    return undefined;
  }
}

function pack(contentBytes: number, localIndexPlain: Uint8Array): Buffer {
  const head = Buffer.concat([packPreamble(new Uint8Array(), rng), new Uint8Array(contentBytes)]);
  return Buffer.concat([head, encodePackTail({ packLengthBytes: head.length, localIndexPlain, codec, rng })]);
}

describe('pack format', () => {
  it('writes the postamble of the format reference and reads it back', () => {
    const iv = Buffer.from('00112233445566778899aabbccddeeff', 'hex');
    const expected = '011000112233445566778899aabbccddeeff8080800aac02a4213ebc1c';
    const bytes = encodePostamble({ iv, offset: 20_971_520, lengthBytes: 300 });
    assert.equal(Buffer.from(bytes).toString('hex'), expected);
    const { postambleBytes, ...found } = decodePostamble(Buffer.concat([Buffer.alloc(50, 0xaa), bytes]));
    assert.equal(postambleBytes, bytes.length);
    assert.deepEqual({ ...found, iv: Buffer.from(found.iv) }, { iv, offset: 20_971_520, lengthBytes: 300 });
  });

  it('puts the local index on a block boundary after 1 to 4096 bytes of padding', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.nat({ max: 9000 }), fc.constantFrom(4064, 4063, 4065)),
        fc.uint8Array({ maxLength: 300 }),
        (contentBytes, index) => {
          const bytes = pack(contentBytes, index);
          const { plain, offset } = readLocalIndex(bytes, codec);
          assert.equal(offset % 4096, 0);
          const padding = offset - 32 - contentBytes;
          assert.ok(padding >= 1 && padding <= 4096);
          assert.equal(plain.length, index.length + 32);
          assert.deepEqual(new Uint8Array(plain.subarray(0, index.length)), index);
        },
      ),
    );
  });

  it('calls a tail corrupt when any bit of index or postamble is changed', () => {
    const bytes = pack(100, Buffer.from('a local index'));
    const { offset } = readLocalIndex(bytes, codec);
    for (let bit = offset * 8; bit < bytes.length * 8; bit++) {
      const damaged = Buffer.from(bytes);
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      assert.equal(
        corruptOr(() => readLocalIndex(damaged, codec)),
        undefined,
      );
    }
  });

  it('answers arbitrary and cut bytes with corrupt', () => {
    const bytes = pack(10, Buffer.from('a local index'));
    for (let length = 0; length < bytes.length; length += 3) {
      assert.equal(
        corruptOr(() => readLocalIndex(bytes.subarray(0, length), codec)),
        undefined,
      );
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (junk) => void corruptOr(() => readLocalIndex(junk, codec))),
    );
    const anyPostamble = fc.record({
      iv: fc.uint8Array({ minLength: 1, maxLength: 32 }),
      offset: fc.maxSafeNat(),
      lengthBytes: fc.maxSafeNat(),
    });
    fc.assert(
      fc.property(anyPostamble, (postamble) => {
        const found = corruptOr(() => readLocalIndex(encodePostamble(postamble), codec));
        assert.equal(found, undefined);
      }),
    );
  });

  it('opens the local index of packs that Kopia wrote', async () => {
    let packs = 0;
    for (const name of ['format-v2', 'epochs', 'interrupted', 'hash-BLAKE2S-256', 'encryption-CHACHA20-HMAC-SHA224']) {
      const fixture = readFixture(name);
      const fixtureCodec = new ContentCodec((await openFixture(fixture)).format);
      for (const [id, bytes] of fixture.blobs) {
        if (!/^[pq]/.test(id)) continue;
        // The one orphan of this fixture was cut short on purpose.
        if (name === 'interrupted' && bytes.length === 8192) {
          assert.throws(() => readLocalIndex(bytes, fixtureCodec), { code: 'corrupt' });
          continue;
        }
        const { plain } = readLocalIndex(bytes, fixtureCodec);
        assert.ok(plain[0] === 1 || plain[0] === 2, 'index version');
        packs += 1;
      }
    }
    assert.ok(packs >= 15, `${packs} packs`);
  });
});
