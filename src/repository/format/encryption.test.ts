import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';

import { AlignedMemory } from '../../kernel/aligned-memory.ts';
import { RepositoryError } from '../repository-error.ts';
import { cipher, type Cipher, type EncryptionName } from './encryption.ts';

const sealOverheadBytes = 28;
const names: readonly EncryptionName[] = ['AES256-GCM-HMAC-SHA256', 'CHACHA20-POLY1305-HMAC-SHA256'];
const masterKey = Uint8Array.from({ length: 32 }, (_, at) => 0x40 + at);
const iv = Buffer.from('bc2cf927f9ed52cc29116e6a5cfdbdf9', 'hex');

/** From Kopia's encryption_test.go, and from the format reference, section 4.3. */
const vectors: Readonly<Record<EncryptionName, { readonly kopia: string; readonly own: string }>> = {
  'AES256-GCM-HMAC-SHA256': {
    kopia: 'e43ba07f85a6d70c5f1102ca06cf19c597e5f91e527b21f00fb76e8bec3fd1',
    own: '000102030405060708090a0b674a1c6dcbebf7bfb7fed4d1d5873d3d983983eeba',
  },
  'CHACHA20-POLY1305-HMAC-SHA256': {
    kopia: '118359f3d4d589d939efbbc3168ae4c77c51bcebce6845fe6ef5d11342faa6',
    own: '000102030405060708090a0b4f9e6f888aa5167560b63ee865647cde658f17a599',
  },
};

function seal(one: Cipher, plain: Uint8Array): Buffer {
  const sealed = Buffer.alloc(one.sealedBytes(plain.length));
  assert.equal(one.sealInto(iv, plain, sealed, 0), sealed.length);
  return sealed;
}

function open(one: Cipher, sealed: Uint8Array, as: Uint8Array = iv): Buffer {
  const plain = Buffer.alloc(sealed.length);
  return plain.subarray(0, one.openInto(as, sealed, plain));
}

for (const name of names) {
  describe(`encryption ${name}`, () => {
    it("opens what Kopia's tests sealed", () => {
      const key = Buffer.from('01234567890123456789012345678901');
      const vectorIv = Buffer.from('aabbccddeeffgghhiijjkkllmmnnoopp');
      const plain = open(cipher(name, key), Buffer.from(vectors[name].kopia, 'hex'), vectorIv);
      assert.equal(plain.toString(), 'foo');
      const hello = open(cipher(name, masterKey), Buffer.from(vectors[name].own, 'hex'));
      assert.equal(hello.toString(), 'hello');
    });

    it('opens what it seals, the empty content too', () => {
      const one = cipher(name, masterKey);
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 5000 }), fc.nat({ max: 50 }), (plain, offset) => {
          const out = new Uint8Array(offset + plain.length + sealOverheadBytes + 7).fill(0xee);
          const written = one.sealInto(iv, plain, out, offset);
          assert.equal(written, plain.length + sealOverheadBytes);
          assert.ok(out.subarray(0, offset).every((byte) => byte === 0xee));
          assert.ok(out.subarray(offset + written).every((byte) => byte === 0xee));
          assert.ok(open(one, out.subarray(offset, offset + written)).equals(plain));
        }),
      );
    });

    it('seals in place, and in shared memory', () => {
      const out = AlignedMemory.allocate({ slotBytes: 2 * 1024 * 1024, slots: 1 }).slot(0);
      const plain = Buffer.alloc(1024 * 1024, 'in place ');
      out.set(plain, 4096 + 12);
      const one = cipher(name, masterKey);
      const written = one.sealInto(iv, out.subarray(4096 + 12, 4096 + 12 + plain.length), out, 4096);
      assert.ok(plain.equals(open(one, out.subarray(4096, 4096 + written))));
    });

    it('calls every changed, cut or foreign byte corrupt and leaves no plaintext', () => {
      const one = cipher(name, masterKey);
      const plain = Buffer.from('some bytes that matter');
      const sealed = seal(one, plain);
      const out = new Uint8Array(plain.length);
      for (let bit = 0; bit < sealed.length * 8; bit++) {
        const damaged = Buffer.from(sealed);
        damaged[bit >> 3]! ^= 1 << (bit & 7);
        assert.throws(() => one.openInto(iv, damaged, out), { name: 'RepositoryError', code: 'corrupt' });
        assert.ok(out.every((byte) => byte === 0));
      }
      for (let length = 0; length < sealed.length; length++) {
        assert.throws(() => open(one, sealed.subarray(0, length)), { code: 'corrupt' });
      }
      assert.throws(() => open(one, sealed, Buffer.alloc(16)), RepositoryError);
      assert.throws(() => one.openInto(iv, sealed, out.subarray(1)), { code: 'corrupt' });
      assert.deepEqual(open(one, sealed), plain);
    });

    it('never uses a nonce twice', () => {
      const one = cipher(name, masterKey);
      const seen = new Set<string>();
      for (let at = 0; at < 3000; at++) seen.add(seal(one, new Uint8Array()).toString('hex', 0, 12));
      assert.equal(seen.size, 3000);
    });
  });
}
