import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { hasCode } from '../std/dray-error.ts';
import type { Clock } from '../std/clock.ts';
import { seededRng } from '../std/rng.ts';
import { BlobError, blobId, type BlobList } from './blob-store.ts';
import { FaultStore, type FaultRule } from './fault.ts';
import { MemoryStore } from './memory-store.ts';
import { defaultRetry, RetryStore, type RetryOptions } from './retry.ts';

const { signal } = new AbortController();
const id = blobId('p1');
const bytes = Buffer.from('some bytes');
const patient: RetryOptions = { attemptsMax: 5, firstPauseMs: 100, pauseMsMax: 1_000, budgetMs: 60_000 };

interface Stepped extends Clock {
  readonly pausesMs: number[];
}

/** A clock on which a sleep takes no time at all but is remembered. */
function steppedClock(): Stepped {
  let now = 0;
  const pausesMs: number[] = [];
  return {
    pausesMs,
    nowMs: () => now,
    monotonicMs: () => now,
    sleep: async (ms, options) => {
      options.signal.throwIfAborted();
      pausesMs.push(ms);
      now += ms;
    },
  };
}

function retried(rules: FaultRule[], options = patient): { store: RetryStore; memory: MemoryStore; clock: Stepped } {
  const clock = steppedClock();
  const memory = new MemoryStore({ clock });
  const faulty = new FaultStore({ store: memory, clock }, { seed: 1, rules });
  return { store: new RetryStore({ store: faulty, clock, rng: seededRng(1) }, options), memory, clock };
}

const unavailable = { kind: 'fail', code: 'blob-unavailable' } as const;

describe('the retry layer', () => {
  test('pauses longer and longer, never above the bounds, and gives up after its attempts', async () => {
    const { store, clock } = retried([{ operations: ['put'], when: { from: 1 }, fault: unavailable }]);
    await assert.rejects(store.put(id, bytes, { signal }), (error) => hasCode(error, 'blob-unavailable'));
    assert.equal(clock.pausesMs.length, patient.attemptsMax - 1);
    for (const [index, pause] of clock.pausesMs.entries()) assert.ok(pause <= Math.min(1_000, 100 * 2 ** index));
  });

  test('tries again what took longer than its time before it failed, but not for ever', async () => {
    const clock = steppedClock();
    let puts = 0;
    const slow = new MemoryStore({ clock });
    slow.put = async () => {
      puts += 1;
      await clock.sleep(300_000, { signal });
      throw new BlobError('blob-unavailable', 'the connection failed');
    };
    const store = new RetryStore({ store: slow, clock, rng: seededRng(1) }, patient);
    await assert.rejects(store.put(id, bytes, { signal }), (error) => hasCode(error, 'blob-unavailable'));
    assert.equal(puts, 3);
  });

  test('rides out a minute of a store that refuses at once, whatever the dice say', async () => {
    for (let seed = 0; seed < 50; seed++) {
      const clock = steppedClock();
      const away = new MemoryStore({ clock });
      const stat = away.stat.bind(away);
      await away.put(id, bytes, { signal });
      away.stat = async (...args) => {
        if (clock.monotonicMs() > 0 && clock.monotonicMs() < 61_000) throw new BlobError('blob-unavailable', 'refused');
        return await stat(...args);
      };
      const store = new RetryStore({ store: away, clock, rng: seededRng(seed) }, defaultRetry);
      await store.stat(id, { signal });
      await clock.sleep(1_000, { signal });
      assert.equal((await store.stat(id, { signal })).lengthBytes, bytes.length);
    }
  });

  test('waits less for a store that has never answered', async () => {
    const rules = [{ operations: ['stat'], when: { from: 1 }, fault: unavailable }] as FaultRule[];
    const { store, clock } = retried(rules, { ...defaultRetry, budgetMs: 1_000_000 });
    await assert.rejects(store.stat(id, { signal }), (error) => hasCode(error, 'blob-unavailable'));
    assert.ok(clock.monotonicMs() <= 30_000);
    await store.put(id, bytes, { signal });
    await assert.rejects(store.stat(id, { signal }), (error) => hasCode(error, 'blob-unavailable'));
    assert.ok(clock.monotonicMs() > 60_000);
  });

  test('gives up when its time is used up', async () => {
    const options = { ...patient, attemptsMax: 1_000, budgetMs: 2_000 };
    const { store, clock } = retried([{ operations: ['put'], when: { from: 1 }, fault: unavailable }], options);
    await assert.rejects(store.put(id, bytes, { signal }), (error) => hasCode(error, 'blob-unavailable'));
    assert.ok(clock.monotonicMs() <= 2_000);
    assert.ok(clock.pausesMs.length > 1);
  });

  test('repeats nothing that cannot pass', async () => {
    const { store, clock } = retried([
      { operations: ['put'], when: { nth: 1 }, fault: { kind: 'fail', code: 'blob-no-space' } },
    ]);
    await assert.rejects(store.put(id, bytes, { signal }), (error) => hasCode(error, 'blob-no-space'));
    await assert.rejects(store.get(id, { signal }), (error) => hasCode(error, 'blob-not-found'));
    assert.deepEqual(clock.pausesMs, []);
  });

  test('recognises its own conditional put, and only its own', async () => {
    const after = { kind: 'fail-after', code: 'blob-unavailable' } as const;
    const { store } = retried([{ operations: ['put'], when: { nth: 1 }, fault: after }]);
    await store.put(id, bytes, { ifAbsent: true, signal });
    assert.deepEqual(await store.get(id, { signal }), bytes);

    const second = retried([]);
    await second.memory.put(id, bytes, { signal });
    const equal = second.store.put(id, bytes, { ifAbsent: true, signal });
    await assert.rejects(
      equal,
      (error) => hasCode(error, 'blob-exists'),
      'equal bytes of another at the first attempt',
    );

    const late = retried([{ operations: ['put'], when: { nth: 1 }, fault: unavailable }]);
    await late.memory.put(id, Buffer.from('of another'), { signal });
    await assert.rejects(late.store.put(id, bytes, { ifAbsent: true, signal }), (error) =>
      hasCode(error, 'blob-exists'),
    );
  });

  test('goes on with a listing that broke off, without repeating names', async () => {
    const clock = steppedClock();
    const memory = new MemoryStore({ clock });
    for (const name of ['a', 'b', 'c']) await memory.put(blobId(name), bytes, { signal });
    let listings = 0;
    class Breaking extends MemoryStore {
      override async *list(...asked: Parameters<MemoryStore['list']>): ReturnType<MemoryStore['list']> {
        listings += 1;
        let left = listings;
        for await (const blob of memory.list(...asked)) {
          if (left === 0) throw new BlobError('blob-unavailable', 'the listing broke off');
          left -= 1;
          yield blob;
        }
      }
    }
    const store = new RetryStore({ store: new Breaking({ clock }), clock, rng: seededRng(1) }, patient);
    const found = await Array.fromAsync(store.list('', { signal }));
    assert.deepEqual(
      found.map((blob) => String(blob.id)),
      ['a', 'b', 'c'],
    );
    assert.equal(listings, 3);
  });

  test('goes on after the last name where listings are sorted, however often they break off', async () => {
    const clock = steppedClock();
    const names = Array.from({ length: 30 }, (_, index) => `p${100 + index}`);
    const asked: (string | undefined)[] = [];
    class Sorted extends MemoryStore {
      readonly listsInOrder = true;
      override async *list(_prefix: string, { after }: BlobList): ReturnType<MemoryStore['list']> {
        asked.push(after);
        for (const name of names.filter((other) => after === undefined || other > after).slice(0, 2)) {
          yield { id: blobId(name), lengthBytes: 1, timestampMs: 0 };
        }
        if (after !== names[29]) throw new BlobError('blob-unavailable', 'the listing broke off');
      }
    }
    const store = new RetryStore({ store: new Sorted({ clock }), clock, rng: seededRng(1) }, patient);
    const found = await Array.fromAsync(store.list('p', { signal }), (blob) => String(blob.id));
    assert.deepEqual(found, names);
    assert.deepEqual(asked.slice(0, 3), [undefined, 'p101', 'p103']);
  });

  test('does not go on after a name in a listing that turns out not to be sorted', async () => {
    const clock = steppedClock();
    class Unsorted extends MemoryStore {
      readonly listsInOrder = true;
      override async *list(): ReturnType<MemoryStore['list']> {
        for (const name of ['p2', 'p1']) yield { id: blobId(name), lengthBytes: 1, timestampMs: 0 };
        throw new BlobError('blob-unavailable', 'the listing broke off');
      }
    }
    const store = new RetryStore({ store: new Unsorted({ clock }), clock, rng: seededRng(1) }, patient);
    await assert.rejects(Array.fromAsync(store.list('p', { signal })), (error) => hasCode(error, 'blob-unavailable'));
    assert.equal(clock.pausesMs.length, 0);
  });

  test('ends at once when the caller gives up', async () => {
    const stop = new AbortController();
    const reason = new Error('given up');
    const { store } = retried([{ operations: ['get'], when: { from: 1 }, fault: { kind: 'hang' } }]);
    const waiting = store.get(id, { signal: stop.signal });
    stop.abort(reason);
    await assert.rejects(waiting, (error) => error === reason);
  });
});
