/** What a blob store promises of blobs that are stored piece by piece. */
import assert from 'node:assert/strict';

import { data, name, withCode, listed, type StorePromise } from './store-promise.ts';

export const uploadPromises: readonly StorePromise[] = [
  {
    sentence: 'shows an upload only when it is committed',
    without: 'others would read packs that are not complete',
    async check(store, signal) {
      await using upload = await store.upload(name, { signal });
      await upload.write(data(8192, 1));
      await upload.write(data(100, 2));
      await upload.write(data(5000, 3));
      assert.deepEqual(await listed(store, signal, ''), []);
      await assert.rejects(store.stat(name, { signal }), withCode('blob-not-found'));
      await upload.commit();
      await upload.commit();
      const metadata = await store.stat(name, { signal });
      const whole = Buffer.concat([data(8192, 1), data(100, 2), data(5000, 3)]);
      assert.equal(metadata.lengthBytes, whole.length);
      assert.deepEqual(Buffer.from(await store.get(name, { signal })), whole);
      assert.deepEqual(await listed(store, signal, ''), [metadata]);
    },
  },
  {
    sentence: 'leaves nothing of an upload that was dropped or aborted',
    without: 'interrupted backups would leave garbage that costs space',
    async check(store, signal) {
      const dropped = await store.upload(name, { signal });
      await dropped.write(data(5000));
      await dropped[Symbol.asyncDispose]();
      const stop = new AbortController();
      {
        await using aborted = await store.upload(name, { signal: stop.signal });
        await aborted.write(data(5000));
        const reason = new Error('stop');
        stop.abort(reason);
        await assert.rejects(aborted.commit(), (error) => error === reason);
        await assert.rejects(aborted.write(data(1)), (error) => error === reason);
      }
      assert.deepEqual(await listed(store, signal, ''), []);
    },
  },
];
