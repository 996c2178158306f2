/** What a blob store promises of writing, replacing and removing. */
import assert from 'node:assert/strict';

import { blobId } from '../blob-store.ts';
import { data, name, withCode, listed, type StorePromise } from './store-promise.ts';

export const writingPromises: readonly StorePromise[] = [
  {
    sentence: 'stores empty blobs and blobs with long names',
    without: 'some of what kopia writes could not be stored',
    async check(store, signal) {
      const long = blobId(`n${'x'.repeat(200)}`);
      await store.put(name, new Uint8Array(0), { signal });
      await store.put(long, data(3), { signal });
      assert.equal((await store.get(name, { signal })).length, 0);
      assert.equal((await store.stat(long, { signal })).lengthBytes, 3);
    },
  },
  {
    sentence: 'replaces a blob by a put, also one that was being read',
    without: 'a change of the password would not last',
    async check(store, signal) {
      await store.put(name, data(5000, 1), { signal });
      await store.get(name, { range: { offset: 0, lengthBytes: 10 }, signal });
      await store.put(name, data(4000, 2), { signal });
      assert.deepEqual(Buffer.from(await store.get(name, { signal })), Buffer.from(data(4000, 2)));
    },
  },
  {
    sentence: 'never shows a mix while blobs are replaced',
    without: 'readers would take half a blob for a damaged one',
    async check(store, signal) {
      const versions = Array.from({ length: 8 }, (_, version) => new Uint8Array(50_000).fill(version));
      await store.put(name, versions[0]!, { signal });
      const writing = Promise.all(versions.map((bytes) => store.put(name, bytes, { signal })));
      for (let reads = 0; reads < 20; reads += 1) {
        const seen = await store.get(name, { signal });
        assert.equal(seen.length, 50_000);
        assert.ok(seen.every((byte) => byte === seen[0]));
      }
      await writing;
    },
  },
  {
    sentence: 'lets one of many conditional puts win',
    without: 'two commands that make a repository here at the same moment could both believe that it is theirs',
    async check(store, signal) {
      const attempts = Array.from({ length: 8 }, (_, seed) =>
        store.put(name, data(100, seed), { ifAbsent: true, signal }),
      );
      const results = await Promise.allSettled(attempts);
      const winners = results.flatMap(({ status }, seed) => (status === 'fulfilled' ? [seed] : []));
      assert.equal(winners.length, 1);
      for (const result of results) {
        if (result.status === 'rejected') assert.ok(withCode('blob-exists')(result.reason));
      }
      assert.deepEqual(Buffer.from(await store.get(name, { signal })), Buffer.from(data(100, winners[0])));
    },
  },
  {
    sentence: 'stores many blobs at once',
    without: 'backups would be slow, or fail',
    async check(store, signal) {
      const ids = Array.from({ length: 50 }, (_, index) => blobId(`p${index}${'a'.repeat(30)}`));
      await Promise.all(ids.map((id, seed) => store.put(id, data(300, seed), { signal })));
      for (const [seed, id] of ids.entries()) {
        assert.deepEqual(Buffer.from(await store.get(id, { signal })), Buffer.from(data(300, seed)));
      }
    },
  },
  {
    sentence: 'removes a blob once and for all, and twice without complaint',
    without: 'space would not be given back, or a retry would fail',
    async check(store, signal) {
      await store.put(name, data(10), { signal });
      await store.get(name, { range: { offset: 0, lengthBytes: 1 }, signal });
      await store.remove(name, { signal });
      await store.remove(name, { signal });
      await assert.rejects(
        store.get(name, { range: { offset: 0, lengthBytes: 1 }, signal }),
        withCode('blob-not-found'),
      );
      assert.deepEqual(await listed(store, signal, ''), []);
    },
  },
  {
    sentence: 'gives times of one clock that does not go back',
    without: 'maintenance could delete what is still being written',
    async check(store, signal) {
      const times: number[] = [await store.serverTimeMs({ signal })];
      for (const index of [1, 2, 3]) {
        await store.put(blobId(`n${index}`), data(10), { signal });
        const { timestampMs } = await store.stat(blobId(`n${index}`), { signal });
        times.push(timestampMs, await store.serverTimeMs({ signal }));
      }
      assert.deepEqual(
        times,
        times.toSorted((a, b) => a - b),
      );
    },
  },
  {
    sentence: 'does nothing when the caller has given up',
    without: 'what was interrupted would go on',
    async check(store, signal) {
      const reason = new Error('given up');
      const aborted = AbortSignal.abort(reason);
      const same = (error: unknown): boolean => error === reason;
      await assert.rejects(store.put(name, data(10), { signal: aborted }), same);
      await assert.rejects(store.get(name, { signal: aborted }), same);
      await assert.rejects(store.remove(name, { signal: aborted }), same);
      await assert.rejects(store.upload(name, { signal: aborted }), same);
      assert.deepEqual(await listed(store, signal, ''), []);
    },
  },
];
