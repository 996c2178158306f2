import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { untilAborted } from './abort.ts';
import { mapConcurrent } from './map-concurrent.ts';
import { nextTurn } from './next-turn.ts';

const { signal } = new AbortController();

describe('mapConcurrent', () => {
  test('yields in order and never runs more than its limit', async () => {
    let running = 0;
    let most = 0;
    const items = Array.from({ length: 50 }, (_, index) => index);
    const results = await Array.fromAsync(
      mapConcurrent(items, { limit: 4, signal }, async (item) => {
        running += 1;
        most = Math.max(most, running);
        for (let turn = 0; turn < item % 5; turn += 1) await nextTurn();
        running -= 1;
        return item * 2;
      }),
    );
    assert.deepEqual(
      results,
      items.map((item) => item * 2),
    );
    assert.equal(most, 4);
  });

  test('stops and awaits the others when one fails', async () => {
    let settled = 0;
    const failure = new Error('the third');
    const run = Array.fromAsync(
      mapConcurrent([1, 2, 3, 4], { limit: 4, signal }, async (item, options) => {
        if (item === 3) {
          await nextTurn();
          throw failure;
        }
        try {
          return await untilAborted(options.signal);
        } finally {
          await nextTurn();
          settled += 1;
        }
      }),
    );
    await assert.rejects(run, (error) => error === failure);
    assert.equal(settled, 3);
  });

  test('surfaces the reason of an abort, and ends its calls when the consumer leaves', async () => {
    const stop = new AbortController();
    const reason = new Error('stop');
    const run = Array.fromAsync(
      mapConcurrent([1, 2], { limit: 2, signal: stop.signal }, (_, options) => untilAborted(options.signal)),
    );
    stop.abort(reason);
    await assert.rejects(run, (error) => error === reason);

    let ended = 0;
    for await (const item of mapConcurrent([1, 2, 3], { limit: 3, signal }, async (number, options) => {
      if (number === 1) return number;
      return await untilAborted(options.signal).finally(() => (ended += 1));
    })) {
      assert.equal(item, 1);
      break;
    }
    assert.equal(ended, 2);
  });
});
