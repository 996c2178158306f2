import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { systemClock } from '../std/clock.ts';
import { hasCode } from '../std/dray-error.ts';
import { blobId } from './blob-store.ts';
import { FaultStore, type FaultRule } from './fault.ts';
import { MemoryStore } from './memory-store.ts';

const { signal } = new AbortController();
const bytes = Buffer.alloc(100, 1);

function faulty(rules: FaultRule[]): { store: FaultStore; memory: MemoryStore } {
  const memory = new MemoryStore({ clock: systemClock });
  return { memory, store: new FaultStore({ store: memory, clock: systemClock }, { seed: 1, rules }) };
}

describe('the fault layer', () => {
  test('fails the nth matching operation before or after it was done', async () => {
    const { store, memory } = faulty([
      { operations: ['put'], prefix: 'p', when: { nth: 2 }, fault: { kind: 'fail', code: 'blob-unavailable' } },
      { operations: ['put'], prefix: 'p', when: { nth: 3 }, fault: { kind: 'fail-after', code: 'blob-denied' } },
    ]);
    await store.put(blobId('n0'), bytes, { signal });
    await store.put(blobId('p1'), bytes, { signal });
    await assert.rejects(store.put(blobId('p2'), bytes, { signal }), (error) => hasCode(error, 'blob-unavailable'));
    await assert.rejects(store.put(blobId('p3'), bytes, { signal }), (error) => hasCode(error, 'blob-denied'));
    const present = (await Array.fromAsync(memory.list('', { signal }))).map(({ id }) => String(id));
    assert.deepEqual(present, ['n0', 'p1', 'p3']);
  });

  test('runs out of space across puts and uploads', async () => {
    const { store } = faulty([
      { operations: ['put', 'write'], when: { from: 1 }, fault: { kind: 'no-space', afterBytes: 250 } },
    ]);
    await store.put(blobId('p1'), bytes, { signal });
    await using upload = await store.upload(blobId('p2'), { signal });
    await upload.write(bytes);
    await assert.rejects(upload.write(bytes), (error) => hasCode(error, 'blob-no-space'));
  });

  test('cuts what is read', async () => {
    const { store } = faulty([{ operations: ['get'], when: { from: 1 }, fault: { kind: 'truncate', keep: 0.5 } }]);
    await store.put(blobId('p1'), bytes, { signal });
    assert.equal((await store.get(blobId('p1'), { signal })).length, 50);
  });

  test('draws the same faults from the same seed', async () => {
    const run = async (): Promise<string[]> => {
      const { store } = faulty([
        { operations: ['put'], when: { probability: 0.5 }, fault: { kind: 'fail', code: 'blob-unavailable' } },
      ]);
      const results = Array.from({ length: 40 }, (_, index) => store.put(blobId(`p${index}`), bytes, { signal }));
      return (await Promise.allSettled(results)).map(({ status }) => status);
    };
    const first = await run();
    assert.deepEqual(await run(), first);
    assert.ok(first.includes('rejected') && first.includes('fulfilled'));
  });
});
