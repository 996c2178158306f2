import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../std/clock.ts';
import { blobId } from './blob-store.ts';
import { blobStoreContract } from './blob-store.contract.ts';
import { MemoryStore } from './memory-store.ts';

blobStoreContract('the memory store', async () => ({
  store: new MemoryStore({ clock: systemClock }),
  leftovers: async () => [],
  [Symbol.asyncDispose]: async () => undefined,
}));

test('the memory store gives blobs the time it is told', async () => {
  const { signal } = new AbortController();
  const store = new MemoryStore({ clock: { nowMs: () => 1_000 } });
  await store.put(blobId('n1'), new Uint8Array(1), { signal });
  store.setTimestamp(blobId('n1'), 5);
  assert.equal((await store.stat(blobId('n1'), { signal })).timestampMs, 5);
});
