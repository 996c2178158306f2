import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';

import { RepositoryError } from '../repository-error.ts';
import { decodeUvarint, encodeUvarint } from './uvarint.ts';

describe('uvarint', () => {
  it('returns every safe integer as it was, and where it ends', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.uint8Array({ maxLength: 5 }), (value, before) => {
        const bytes = encodeUvarint(value);
        const found = decodeUvarint(Buffer.concat([before, bytes, Buffer.of(7)]), before.length);
        assert.deepEqual(found, { value, end: before.length + bytes.length });
      }),
    );
    assert.deepEqual([...encodeUvarint(300)], [0xac, 0x02]);
    assert.equal(encodeUvarint(Number.MAX_SAFE_INTEGER).length, 8);
  });

  it('accepts only the one encoding of a value, and nothing else throws anything else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
        try {
          const { value, end } = decodeUvarint(bytes, 0);
          assert.deepEqual(encodeUvarint(value), bytes.slice(0, end));
        } catch (error) {
          assert.ok(error instanceof RepositoryError && error.code === 'corrupt');
        }
      }),
    );
    for (const text of ['', '80', '8000', 'ffffffffffffff1f', 'ffffffffffffffff01']) {
      assert.throws(() => decodeUvarint(Buffer.from(text, 'hex'), 0), { code: 'corrupt' });
    }
  });
});
