import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';

import { aead, NodeAead, type AeadName } from './aead.ts';

const names: readonly AeadName[] = ['aes-256-gcm', 'chacha20-poly1305'];
const bytes = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length });
const call = fc.record({ key: bytes(32), nonce: bytes(12), additional: fc.uint8Array({ maxLength: 40 }) });

for (const name of names) {
  describe(`aead ${name}`, () => {
    it('gives the same bytes by OpenSSL as by node:crypto, also in place', () => {
      const fast = aead(name);
      const plainly = new NodeAead(name);
      fc.assert(
        fc.property(call, fc.uint8Array({ maxLength: 3000 }), (parameters, plain) => {
          const expected = new Uint8Array(plain.length + 16);
          plainly.seal(parameters, plain, expected);
          const inPlace = new Uint8Array(plain.length + 16);
          inPlace.set(plain);
          fast.seal(parameters, inPlace.subarray(0, plain.length), inPlace);
          assert.deepEqual(inPlace, expected);
          for (const one of [fast, plainly]) {
            const opened = new Uint8Array(plain.length);
            assert.ok(one.open(parameters, expected, opened));
            assert.deepEqual(opened, plain);
          }
          assert.ok(fast.open(parameters, inPlace, inPlace));
          assert.deepEqual(inPlace.subarray(0, plain.length), plain);
        }),
      );
    });

    it('leaves zeros and goes on after a failed authentication', () => {
      for (const one of [aead(name), new NodeAead(name)]) {
        const parameters = { key: new Uint8Array(32), nonce: new Uint8Array(12), additional: Buffer.from('a') };
        const sealed = new Uint8Array(21);
        one.seal(parameters, Buffer.from('hello'), sealed);
        const opened = new Uint8Array(5).fill(1);
        assert.equal(one.open({ ...parameters, additional: Buffer.from('b') }, sealed, opened), false);
        assert.deepEqual(opened, new Uint8Array(5));
        assert.equal(one.open(parameters, sealed, opened), true);
        assert.equal(Buffer.from(opened).toString(), 'hello');
      }
    });

    it('stops before it writes behind its output', () => {
      const one = aead(name);
      const parameters = { key: new Uint8Array(32), nonce: new Uint8Array(12), additional: new Uint8Array() };
      assert.throws(() => one.seal(parameters, new Uint8Array(100), new Uint8Array(115)), { code: 'ERR_ASSERTION' });
      assert.throws(() => one.open(parameters, new Uint8Array(116), new Uint8Array(99)), { code: 'ERR_ASSERTION' });
      const shortKey = { ...parameters, key: new Uint8Array(31) };
      assert.throws(() => one.seal(shortKey, new Uint8Array(), new Uint8Array(16)), { code: 'ERR_ASSERTION' });
    });
  });
}
