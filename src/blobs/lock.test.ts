import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemClock } from '../std/clock.ts';
import { blobStoreContract } from './blob-store.contract.ts';
import { type BlobError, blobId } from './blob-store.ts';
import { CountStore, createCounts, readCounts } from './count.ts';
import { extendRetention } from './extend-retention.ts';
import { FaultStore } from './fault.ts';
import { LockStore } from './lock.ts';
import { MemoryStore } from './memory-store.ts';
import { removeUnlessLocked } from './remove-unless-locked.ts';

const { signal } = new AbortController();
const clock = systemClock;
const retention = { mode: 'GOVERNANCE', periodMs: 1000 };
const longer = { mode: 'GOVERNANCE', periodMs: 2000 };

blobStoreContract('a store that locks', async () => {
  const store = new LockStore(new MemoryStore({ clock }), { prefixes: ['p', 'n'], retention });
  return { store, leftovers: async () => [], [Symbol.asyncDispose]: async () => await store[Symbol.asyncDispose]() };
});

test('the lock layer > locks what is stored under its prefixes, whatever the caller says, and nothing else', async () => {
  const memory = new MemoryStore({ clock });
  const store = new LockStore(memory, { prefixes: ['p', 'kopia.repository'], retention });
  for (const [name, locked] of [
    ['p1', true],
    ['kopia.repository', true],
    ['kopia.maintenance', false],
    ['s1', false],
  ] as const) {
    await store.put(blobId(name), new Uint8Array(1), { retention: locked ? undefined : longer, signal });
    await using upload = await store.upload(blobId(`${name}u`), { signal });
    await upload.commit();
    const expected = locked ? retention : undefined;
    assert.deepEqual([memory.retentionOf(blobId(name)), memory.retentionOf(blobId(`${name}u`))], [expected, expected]);
  }
});

test('extending retention > goes on after blobs that fail, counts them, and passes over those that have gone', async () => {
  const memory = new MemoryStore({ clock });
  for (let index = 0; index < 100; index += 1) {
    await memory.put(blobId(`p${index}`), new Uint8Array(1), { retention, signal });
  }
  const rule = (from: number, code: BlobError['code']) =>
    ({ operations: ['extend'], prefix: `p${from}`, when: { from: 1 }, fault: { kind: 'fail', code } }) as const;
  const rules = [rule(3, 'blob-denied'), rule(5, 'blob-not-found')];
  const store = new FaultStore({ store: memory, clock }, { seed: 1, rules });
  const { extended, failed, failures } = await extendRetention(
    store,
    { prefixes: ['n', 'p'], retention: longer },
    { signal },
  );
  assert.deepEqual([extended, failed, failures.length], [78, 11, 11]);
  assert.ok(failures.every(({ id, error }) => id.startsWith('p3') && error.code === 'blob-denied'));
  assert.deepEqual([memory.retentionOf(blobId('p1')), memory.retentionOf(blobId('p31'))], [longer, retention]);
});

test('extending retention > ends at once where nothing can be locked', async () => {
  const memory = new MemoryStore({ clock });
  for (let index = 0; index < 100; index += 1) await memory.put(blobId(`p${index}`), new Uint8Array(1), { signal });
  const counts = createCounts();
  const fault = { kind: 'fail', code: 'blob-no-lock' } as const;
  const rules = [{ operations: ['extend'], when: { from: 1 }, fault } as const];
  const faulty = new FaultStore({ store: memory, clock }, { seed: 1, rules });
  const extending = extendRetention(new CountStore(faulty, { counts }), { prefixes: ['p'], retention }, { signal });
  await assert.rejects(extending, { code: 'blob-no-lock' });
  assert.ok(readCounts(counts).stats < 40);
});

test('a removal that a lock refuses > is counted, asked once, and is no failure of what went before', async () => {
  const counts = createCounts();
  const fault = { kind: 'fail', code: 'blob-locked' } as const;
  const rules = [{ operations: ['remove'], prefix: 'p', when: { from: 1 }, fault } as const];
  const faulty = new FaultStore({ store: new MemoryStore({ clock }), clock }, { seed: 1, rules });
  const store = new CountStore(faulty, { counts });
  await removeUnlessLocked(store, blobId('p1'), { signal });
  await removeUnlessLocked(store, blobId('n1'), { signal });
  await assert.rejects(store.remove(blobId('p1'), { signal }), { code: 'blob-locked' });
  const { removes, lockedRemoves } = readCounts(counts);
  assert.deepEqual([removes, lockedRemoves], [3, 2]);
});
