import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Clock } from '../std/clock.ts';
import { CheckpointClock } from './checkpoint-clock.ts';

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

test('checkpoint clock > takes 0.5 % of the work, within 256 MiB and 32 GiB', () => {
  const interval = (workBytes: number): number => new CheckpointClock(steppedClock(), { workBytes }).intervalBytes;
  assert.equal(interval(0), gib / 4);
  assert.equal(interval(200 * gib), gib);
  assert.equal(interval(2 ** 50), 32 * gib);
});

test('checkpoint clock > is due after the interval, and after ten minutes if anything was done', () => {
  const clock = steppedClock();
  const due = new CheckpointClock(clock, { workBytes: gib });
  assert.equal(due.isDue(gib / 4 - 1), false);
  assert.equal(due.isDue(gib / 4), true);
  due.begin(gib / 4);
  assert.equal(due.isDue(gib / 4 + 1), false);
  clock.ms += 10 * 60 * 1000;
  assert.equal(due.isDue(gib / 4 + 1), true);
  assert.equal(due.isDue(gib / 4), false);
});
