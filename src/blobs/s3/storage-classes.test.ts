import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { hasCode } from '../../std/dray-error.ts';
import { decodeStorageConfig } from './storage-classes.ts';

describe('.storageconfig', () => {
  test('is a list of rules, as kopia reads it', () => {
    // Encoded by kopia's own type, and with names in another case, which Go takes as well.
    for (const text of [
      '{"blobOptions":[{"prefix":"p","storageClass":"STANDARD_IA"},{"prefix":"","storageClass":"STANDARD"}]}\n',
      '{"BlobOptions":[{"PREFIX":"p","storageclass":"STANDARD_IA","note":1},{"storageClass":"STANDARD"}],"more":{}}',
    ]) {
      assert.deepEqual(decodeStorageConfig(text), [
        { prefix: 'p', storageClass: 'STANDARD_IA' },
        { prefix: '', storageClass: 'STANDARD' },
      ]);
    }
    assert.deepEqual(decodeStorageConfig('{}'), []);
    assert.deepEqual(decodeStorageConfig('{"blobOptions":null}'), []);
    assert.deepEqual(decodeStorageConfig('{"blobOptions":[{"prefix":"q","storageClass":null}]}'), [
      { prefix: 'q', storageClass: '' },
    ]);
  });

  for (const [what, text] of [
    ['nothing', ''],
    ['no JSON', '{"blobOptions":'],
    ['a list', '[]'],
    ['a rule that is none', '{"blobOptions":["p"]}'],
    ['rules that are no list', '{"blobOptions":{"prefix":"p"}}'],
    ['too many rules', JSON.stringify({ blobOptions: Array.from({ length: 1001 }, () => ({})) })],
    ['a prefix that is a number', '{"blobOptions":[{"prefix":1}]}'],
    ['a class with a line break', '{"blobOptions":[{"storageClass":"A\\r\\nx: y"}]}'],
    ['a class without end', JSON.stringify({ blobOptions: [{ storageClass: 'A'.repeat(65) }] })],
  ] as const) {
    test(`with ${what} is damaged`, () => {
      assert.throws(
        () => decodeStorageConfig(text),
        (error) => hasCode(error, 'blob-layout'),
      );
    });
  }
});
