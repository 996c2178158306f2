import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemClock } from '../std/clock.ts';
import { Checkpoints } from './backup-checkpoints.ts';

const intervalBytes = 100;

function made(write: () => Promise<void>, failures: unknown[] = []): Checkpoints {
  return new Checkpoints(systemClock, {
    workBytes: 1e6,
    intervalBytes,
    write,
    onFailure: (error) => failures.push(error),
  });
}

test('checkpoints > one begins after half an interval, and no second one beside it', async () => {
  const ends: (() => void)[] = [];
  const checkpoints = made(() => new Promise((resolve) => ends.push(resolve)));
  checkpoints.countRead(49);
  checkpoints.beginIfDue();
  assert.equal(ends.length, 0);
  checkpoints.countRead(1);
  checkpoints.beginIfDue();
  assert.equal(ends.length, 1);
  checkpoints.countRead(60);
  checkpoints.beginIfDue();
  assert.equal(ends.length, 1);
  ends[0]!();
  await checkpoints.settled();
  checkpoints.beginIfDue();
  assert.equal(ends.length, 2);
});

test('checkpoints > reading waits where an interval would be passed, until what is whole is durable', async () => {
  const order: string[] = [];
  const end = Promise.withResolvers<void>();
  const checkpoints = made(async () => {
    order.push('begun');
    await end.promise;
    order.push('durable');
  });
  checkpoints.countRead(100);
  checkpoints.countWhole(64);
  const bound = checkpoints.bound(() => undefined).then(() => order.push('reads on'));
  await Promise.resolve();
  end.resolve();
  await bound;
  assert.deepEqual(order, ['begun', 'durable', 'reads on']);
});

test('checkpoints > nothing is waited for that could not make anything durable', async () => {
  const checkpoints = made(() => Promise.reject(new Error('not asked')));
  checkpoints.countRead(500);
  await checkpoints.bound(() => undefined);
});

test('checkpoints > one that fails is told of, covers nothing, and is not begun again', async () => {
  const failures: unknown[] = [];
  const failure = new Error('no room');
  let begun = 0;
  const checkpoints = made(() => {
    begun++;
    return Promise.reject(failure);
  }, failures);
  checkpoints.countRead(200);
  checkpoints.countWhole(200);
  const progress = (): undefined => {
    if (failures.length > 0) throw failures[0];
  };
  await assert.rejects(checkpoints.bound(progress), /no room/);
  assert.deepEqual(failures, [failure]);
  assert.equal(begun, 1);
});
