import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemClock } from '../std/clock.ts';
import { seededRng } from '../std/rng.ts';
import { blobStoreContract } from './blob-store.contract.ts';
import { blobId } from './blob-store.ts';
import { CountStore, createCounts, readCounts } from './count.ts';
import { FaultStore } from './fault.ts';
import { MemoryStore } from './memory-store.ts';
import { defaultRetry, RetryStore } from './retry.ts';

const { signal } = new AbortController();
const clock = { ...systemClock, sleep: () => Promise.resolve() };

blobStoreContract('a store that is counted', async () => {
  const store = new CountStore(new MemoryStore({ clock: systemClock }), { counts: createCounts() });
  return { store, leftovers: async () => [], [Symbol.asyncDispose]: async () => await store[Symbol.asyncDispose]() };
});

test('the counting layer > counts calls, bytes and names of all its users together', async () => {
  const counts = createCounts();
  const memory = new MemoryStore({ clock: systemClock });
  for (const name of ['p1', 'p2']) {
    const store = new CountStore(memory, { counts });
    await store.put(blobId(name), new Uint8Array(10), { signal });
    await using upload = await store.upload(blobId(`${name}0`), { signal });
    for (let piece = 0; piece < 3; piece++) await upload.write(new Uint8Array(5));
    await upload.commit();
    await store.get(blobId(name), { range: { offset: 2, lengthBytes: 4 }, signal });
    await store.stat(blobId(name), { signal });
    await store.serverTimeMs({ signal });
    await Array.fromAsync(store.list('p1', { signal }));
    await store.remove(blobId('p9'), { signal });
  }
  const calls = { gets: 2, puts: 4, lists: 2, stats: 4, removes: 2 };
  assert.deepEqual(readCounts(counts), {
    ...calls,
    getBytes: 8,
    hedgedGets: 0,
    putBytes: 50,
    listedBlobs: 4,
    lockedRemoves: 0,
  });
});

test('the counting layer > below the retries, counts each attempt', async () => {
  const counts = createCounts();
  const rule = { operations: ['put'], when: { nth: 1 }, fault: { kind: 'fail', code: 'blob-unavailable' } } as const;
  const faulty = new FaultStore({ store: new MemoryStore({ clock }), clock }, { seed: 1, rules: [rule] });
  const counted = new CountStore(faulty, { counts });
  const store = new RetryStore({ store: counted, clock, rng: seededRng(1) }, defaultRetry);
  await store.put(blobId('p'), new Uint8Array(7), { signal });
  assert.deepEqual([readCounts(counts).puts, readCounts(counts).putBytes], [2, 14]);
});
