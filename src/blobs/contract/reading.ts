/** What a blob store promises of reading. */
import assert from 'node:assert/strict';

import { blobId } from '../blob-store.ts';
import { data, name, withCode, type StorePromise } from './store-promise.ts';

export const readingPromises: readonly StorePromise[] = [
  {
    sentence: 'returns what was put, whole and in ranges',
    without: 'nothing could be restored',
    async check(store, signal) {
      const bytes = data(10_000);
      await store.put(name, bytes, { signal });
      const { id, lengthBytes: storedBytes } = await store.stat(name, { signal });
      assert.deepEqual([id, storedBytes], [name, bytes.length]);
      assert.deepEqual(Buffer.from(await store.get(name, { signal })), Buffer.from(bytes));
      for (const [offset, lengthBytes] of [
        [0, 1],
        [9_999, 1],
        [123, 4_567],
        [10_000, 0],
        [0, 10_000],
      ] as const) {
        const part = await store.get(name, { range: { offset, lengthBytes }, signal });
        assert.deepEqual(Buffer.from(part), Buffer.from(bytes.subarray(offset, offset + lengthBytes)));
      }
    },
  },
  {
    sentence: "reads into the caller's buffer without touching the rest of it",
    without: 'restored bytes could be wrong',
    async check(store, signal) {
      await store.put(name, data(1000), { signal });
      const into = new Uint8Array(600).fill(0xee);
      const part = await store.get(name, { range: { offset: 10, lengthBytes: 500 }, into, signal });
      assert.equal(part.buffer, into.buffer);
      assert.deepEqual(Buffer.from(part), Buffer.from(data(1000).subarray(10, 510)));
      assert.ok(into.subarray(500).every((byte) => byte === 0xee));
    },
  },
  {
    sentence: 'refuses a range that ends past the blob',
    without: 'a pack that was cut off would not be noticed',
    async check(store, signal) {
      await store.put(name, data(100), { signal });
      for (const range of [
        { offset: 90, lengthBytes: 11 },
        { offset: 101, lengthBytes: 0 },
        { offset: 2 ** 52, lengthBytes: 1 },
      ]) {
        await assert.rejects(store.get(name, { range, signal }), withCode('blob-range'));
      }
      const huge = { offset: 0, lengthBytes: 2 ** 50 };
      await assert.rejects(store.get(name, { range: huge, signal }), withCode('blob-range'));
    },
  },
  {
    sentence: 'refuses a whole blob that is longer than was said',
    without: 'what another has put there could fill the memory',
    async check(store, signal) {
      await store.put(name, data(100), { signal });
      assert.equal((await store.get(name, { maxBytes: 100, signal })).length, 100);
      await assert.rejects(store.get(name, { maxBytes: 99, signal }), withCode('blob-range'));
    },
  },
  {
    sentence: 'says blob-not-found of what is not there',
    without: 'nothing could be told that is missing',
    async check(store, signal) {
      const gone = blobId('pgone');
      await assert.rejects(store.get(gone, { signal }), withCode('blob-not-found'));
      await assert.rejects(
        store.get(gone, { range: { offset: 0, lengthBytes: 1 }, signal }),
        withCode('blob-not-found'),
      );
      await assert.rejects(store.stat(gone, { signal }), withCode('blob-not-found'));
    },
  },
];
