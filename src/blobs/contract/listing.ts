/** What a blob store promises of listings. */
import assert from 'node:assert/strict';

import { blobId } from '../blob-store.ts';
import { data, name, listed, type StorePromise } from './store-promise.ts';

export const listingPromises: readonly StorePromise[] = [
  {
    sentence: 'lists by prefix, each blob once',
    without: 'backups that are there would not be found',
    async check(store, signal) {
      const names = [
        'kopia.repository',
        'n1',
        'n12',
        'p012345678901234567890',
        'p01',
        'pa12345678901234567890',
        'q0',
        'xe0_n1',
      ];
      for (const text of names) await store.put(blobId(text), data(7), { signal });
      for (const prefix of ['', 'n', 'n1', 'n12', 'p', 'p0', 'p01', 'p0123456', 'p012345678901234567890', 'xe', 'z']) {
        const found = (await listed(store, signal, prefix)).map(({ id }) => String(id));
        assert.deepEqual(found, names.filter((text) => text.startsWith(prefix)).toSorted(), `prefix ${prefix}`);
      }
    },
  },
  {
    sentence: 'lists in order, and after a name, where it says that it does',
    without: 'a listing that breaks off would lose names',
    async check(store, signal) {
      const names = ['p1', 'p-', 'pA', 'pa', 'p_', 'p.', 'p10', 'P', 'q'].map(blobId);
      for (const id of names) await store.put(id, data(7), { signal });
      if (store.listsInOrder !== true) return;
      const found = await Array.fromAsync(store.list('', { signal }), ({ id }) => id);
      assert.deepEqual(found, names.toSorted());
      for (const after of names) {
        const rest = await Array.fromAsync(store.list('p', { after, signal }), ({ id }) => id);
        assert.deepEqual(
          rest,
          names.toSorted().filter((id) => id > after && id.startsWith('p')),
        );
      }
    },
  },
  {
    sentence: 'lists the lengths and times that stat gives',
    without: 'maintenance could delete what is still being written',
    async check(store, signal) {
      await store.put(name, data(77), { signal });
      assert.deepEqual(await listed(store, signal, 'p'), [await store.stat(name, { signal })]);
    },
  },
];
