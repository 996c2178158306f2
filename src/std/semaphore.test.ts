import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { nextTurn } from './next-turn.ts';
import { Semaphore } from './semaphore.ts';

const { signal } = new AbortController();

describe('a semaphore', () => {
  test('admits in the order of asking, small behind large', async () => {
    const semaphore = new Semaphore(10);
    const first = await semaphore.acquire(6, { signal });
    const order: string[] = [];
    const large = semaphore.acquire(8, { signal }).then((held) => (order.push('large'), held));
    const small = semaphore.acquire(1, { signal }).then((held) => (order.push('small'), held));
    await nextTurn();
    assert.deepEqual(order, []);
    first[Symbol.dispose]();
    first[Symbol.dispose]();
    (await large)[Symbol.dispose]();
    (await small)[Symbol.dispose]();
    assert.deepEqual(order, ['large', 'small']);
    assert.equal(semaphore.freeUnits, 10);
  });

  test('lets a request pass alone that is larger than all of it', async () => {
    const semaphore = new Semaphore(4);
    {
      using _held = await semaphore.acquire(100, { signal });
      assert.equal(semaphore.freeUnits, 0);
    }
    assert.equal(semaphore.freeUnits, 4);
  });

  test('takes nothing for those who gave up waiting', async () => {
    const semaphore = new Semaphore(2);
    const held = await semaphore.acquire(1, { signal });
    const stop = new AbortController();
    const waiting = semaphore.acquire(2, { signal: stop.signal });
    const behind = semaphore.acquire(1, { signal });
    stop.abort(new Error('gave up'));
    await assert.rejects(waiting, /gave up/);
    (await behind)[Symbol.dispose]();
    held[Symbol.dispose]();
    assert.equal(semaphore.freeUnits, 2);
  });
});
