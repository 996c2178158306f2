import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Clock } from '../std/clock.ts';
import { CheckpointClock, checkpointIntervalBytes } from './checkpoint-clock.ts';

const gib = 1024 ** 3;

function steppedClock(): Clock & { ms: number } {
  return {
    ms: 0,
    nowMs() {
      return this.ms;
    },
    monotonicMs() {
      return this.ms;
    },
    sleep: () => Promise.resolve(),
  };
}

test('checkpoint interval > is 0.5 % of the work, within 256 MiB and 32 GiB', () => {
  assert.equal(checkpointIntervalBytes(0), gib / 4);
  assert.equal(checkpointIntervalBytes(200 * gib), gib);
  assert.equal(checkpointIntervalBytes(2 ** 50), 32 * gib);
});

test('checkpoint clock > is due after the interval, and after ten minutes if anything was done', () => {
  const clock = steppedClock();
  const due = new CheckpointClock(clock, { everyBytes: gib / 4 });
  assert.equal(due.isDue(gib / 4 - 1), false);
  assert.equal(due.isDue(gib / 4), true);
  due.begin(gib / 4);
  assert.equal(due.isDue(gib / 4 + 1), false);
  clock.ms += 10 * 60 * 1000;
  assert.equal(due.isDue(gib / 4 + 1), true);
  assert.equal(due.isDue(gib / 4), false);
});
