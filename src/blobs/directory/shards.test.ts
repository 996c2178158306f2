import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../../std/dray-error.ts';
import { blobId, BlobError } from '../blob-store.ts';
import { blobNameAt, decodeShards, defaultShards, encodeShards, mayHold, shardedPath, type Shards } from './shards.ts';

const names = fc.stringMatching(/^[A-Za-z0-9_.][A-Za-z0-9_.-]{0,60}$/);
const sizes = fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 4 });
const layouts: fc.Arbitrary<Shards> = fc.record({
  default: sizes,
  maxNonShardedLength: fc.integer({ min: 0, max: 30 }),
  overrides: fc.array(fc.record({ prefix: fc.stringMatching(/^[a-q]{0,2}$/), shards: sizes }), { maxLength: 3 }),
});

describe('shards', () => {
  test('follow the examples of the format', () => {
    const path = (shards: Shards, id: string): string => {
      const { directories, file } = shardedPath(shards, blobId(id));
      return [...directories, file].join('/');
    };
    const created = defaultShards({ create: true });
    assert.equal(path(created, 'kopia.repository'), 'kopia.repository.f');
    assert.equal(path(created, 'p0123456789abcdef0123'), 'p/012/3456789abcdef0123.f');
    assert.equal(path(defaultShards({ create: false }), 'p0123456789abcdef0123'), 'p01/234/56789abcdef0123.f');
    const overridden = { ...created, overrides: [{ prefix: 'p', shards: [2, 2] }] };
    assert.equal(path(overridden, 'p0123456789abcdef0123'), 'p0/12/3456789abcdef0123.f');
    assert.equal(path({ ...created, default: [3, 3], maxNonShardedLength: 0 }, 'abcd'), 'abc/d.f');
  });

  test('give back the name that they hid', () => {
    fc.assert(
      fc.property(names, layouts, (text, shards) => {
        let path;
        try {
          path = shardedPath(shards, blobId(text));
        } catch (error) {
          assert.ok(hasCode(error, 'blob-name'));
          return;
        }
        assert.equal(blobNameAt(path.directories, path.file), text);
        assert.ok(
          path.directories.every((directory) => /^[A-Za-z0-9_.-]+$/.test(directory) && !/^\.\.?$/.test(directory)),
        );
        for (let level = 0; level <= path.directories.length; level += 1) {
          const spelled = path.directories.slice(0, level).join('');
          for (let length = 0; length <= text.length; length += 1) assert.ok(mayHold(spelled, text.slice(0, length)));
        }
      }),
    );
  });

  test('survive being written and read', () => {
    fc.assert(
      fc.property(layouts, (shards) => assert.deepEqual(decodeShards(encodeShards(shards)), structuredClone(shards))),
    );
  });

  test('decode any text or refuse it', () => {
    const texts = fc.oneof(
      fc.string(),
      fc.json(),
      fc.constantFrom('{"default":[1e9]}', '{"default":[-1]}', 'null', '[]'),
    );
    fc.assert(
      fc.property(texts, (text) => {
        try {
          decodeShards(text);
        } catch (error) {
          assert.ok(error instanceof BlobError && error.code === 'blob-layout');
        }
      }),
    );
    assert.throws(
      () => decodeShards('{"default":[1000000000]}'),
      (error) => hasCode(error, 'blob-layout'),
    );
  });
});
