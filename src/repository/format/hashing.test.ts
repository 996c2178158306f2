import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { AlignedMemory } from '../../kernel/aligned-memory.ts';
import { macBytes, NodeMac } from '../../kernel/mac.ts';
import type { RepositoryError } from '../repository-error.ts';
import { hasher, hashLengthBytes, hashNames, type HashName } from './hashing.ts';

const secret = Uint8Array.from({ length: 32 }, (_, at) => at);
const hello = Buffer.from('hello');

/** Kopia's format reference, section 3: secret 00..1f, data `hello`. */
const vectors: Readonly<Record<HashName, string>> = {
  'BLAKE2B-256': 'bc2cf927f9ed52cc29116e6a5cfdbdf96a7250f85db66887b13652596bf40d61',
  'BLAKE2B-256-128': 'bc2cf927f9ed52cc29116e6a5cfdbdf9',
  'BLAKE2S-128': '1f946dc212a39570bc06fd378517a91e',
  'BLAKE2S-256': '9eb0cbcd6be5835f87e6c7d7f9bfcb07454a311777a671f274222bab4c191dea',
  'BLAKE3-256': '23278c18c8c9fe0fbfadfb940af5f08d3fd1802bf919dd6d77ebd211a19fbe29',
  'BLAKE3-256-128': '23278c18c8c9fe0fbfadfb940af5f08d',
  'HMAC-SHA256': '53c40272a70c15ca4ee0af4df1f155fd6c41e00ce2307d8987ecd4bb36a7e990',
  'HMAC-SHA256-128': '53c40272a70c15ca4ee0af4df1f155fd',
  'HMAC-SHA224': '37f5f97c60a525c95aa82d8b17f759224536bf18a922d52f0311df41',
  'HMAC-SHA3-224': '3ad0789a45fa11d480688d11c59d27147ba7460753e1b87d89117a07',
  'HMAC-SHA3-256': 'e6d520deb05cf56101c5bbbc508af68ee30d077975a59ed8a70523d8ea84e11e',
};

describe('hashing', () => {
  for (const name of hashNames) {
    it(`computes ${name} as the published vector says, again and again`, () => {
      const hash = hasher(name, secret);
      assert.equal(hash(hello).toString('hex'), vectors[name]);
      hash(Buffer.from('something else'));
      assert.equal(hash(hello).toString('hex'), vectors[name]);
      assert.equal(hash(hello).length, hashLengthBytes(name));
    });

    it(`hashes views of shared memory with ${name}`, () => {
      const view = AlignedMemory.allocate({ slotBytes: 4096, slots: 1 })
        .slot(0)
        .subarray(100, 100 + hello.length);
      view.set(hello);
      assert.equal(hasher(name, secret)(view).toString('hex'), vectors[name]);
    });
  }

  it('computes BLAKE2b of every length alike, also of shared memory', () => {
    const [long, short] = [hasher('BLAKE2B-256', secret), hasher('BLAKE2B-256-128', secret)];
    for (const length of [0, 1, 16 * 1024 - 1, 16 * 1024, 100_000]) {
      const data = new Uint8Array(new SharedArrayBuffer(length + 5), 5).fill(length % 251);
      const expected = new Uint8Array(macBytes);
      new NodeMac('blake2b-256', secret).into(data, expected);
      assert.equal(long(data).toString('hex'), Buffer.from(expected).toString('hex'));
      assert.equal(short(data).toString('hex'), Buffer.from(expected).toString('hex', 0, 16));
    }
  });

  it('is plain BLAKE2b when the secret is empty, as in repodiag/blob_writer_test.go', () => {
    const hash = hasher('BLAKE2B-256-128', new Uint8Array());
    assert.equal(hash(Uint8Array.of(1, 2, 3)).toString('hex'), '11c0e79b71c3976ccd0c02d1310e2516');
    assert.equal(hash(Uint8Array.of(2, 3, 4)).toString('hex'), '24ff687b6ca564bd005a99420c90a0db');
  });

  it('uses the first 32 bytes of a longer BLAKE3 secret and derives a key from a shorter one', () => {
    const long = Buffer.concat([secret, Buffer.from('more')]);
    assert.equal(hasher('BLAKE3-256', long)(hello).toString('hex'), vectors['BLAKE3-256']);
    const short = hasher('BLAKE3-256', secret.subarray(0, 16))(hello).toString('hex');
    const padded = hasher('BLAKE3-256', Buffer.concat([secret.subarray(0, 16), Buffer.alloc(16)]))(hello);
    assert.notEqual(short, padded.toString('hex'));
  });

  it('refuses secrets that do not fit the function', () => {
    const unsupported = { name: 'RepositoryError', code: 'unsupported' } satisfies Partial<RepositoryError>;
    assert.throws(() => hasher('BLAKE2S-128', new Uint8Array()), unsupported);
    assert.throws(() => hasher('BLAKE2S-256', new Uint8Array(33)), unsupported);
    assert.throws(() => hasher('BLAKE2B-256', new Uint8Array(65)), unsupported);
  });
});
