import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';

import { mac, macBytes, NodeMac, type MacName } from './mac.ts';

const names: readonly MacName[] = ['hmac-sha256', 'blake2b-256'];

for (const name of names) {
  describe(`mac ${name}`, () => {
    it('gives the same bytes by OpenSSL as by node:crypto, one after the other', () => {
      const keys = fc.uint8Array({ minLength: 1, maxLength: 64 });
      const messages = fc.array(fc.uint8Array({ maxLength: 3000 }), { minLength: 1, maxLength: 5 });
      fc.assert(
        fc.property(keys, messages, (key, data) => {
          const [fast, plainly] = [mac(name, key), new NodeMac(name, key)];
          assert.notEqual(fast.constructor, plainly.constructor);
          key.fill(0);
          for (const message of data) {
            const [found, expected] = [new Uint8Array(macBytes + 1), new Uint8Array(macBytes + 1)];
            fast.into(message, found);
            plainly.into(message, expected);
            assert.deepEqual(found, expected);
          }
        }),
      );
    });

    it('reads a view of shared memory', () => {
      const shared = new Uint8Array(new SharedArrayBuffer(100), 10, 50).fill(7);
      const [found, expected] = [new Uint8Array(macBytes), new Uint8Array(macBytes)];
      const one = mac(name, Buffer.from('key'));
      one.into(shared, found);
      one.into(new Uint8Array(50).fill(7), expected);
      assert.deepEqual(found, expected);
    });

    it('stops before it writes behind its output', () => {
      for (const one of [mac(name, Buffer.from('key')), new NodeMac(name, Buffer.from('key'))]) {
        assert.throws(() => one.into(new Uint8Array(1), new Uint8Array(macBytes - 1)), { code: 'ERR_ASSERTION' });
      }
    });
  });
}
