import assert from 'node:assert/strict';
import { test } from 'node:test';

import { systemClock } from '../std/clock.ts';
import { Checkpoints } from './checkpoints.ts';

const intervalBytes = 100;

function made(write: () => Promise<void>, given: { complete?: number; failures?: unknown[] } = {}): Checkpoints {
  const { complete = 0, failures = [] } = given;
  return new Checkpoints(systemClock, {
    workBytes: 1e6,
    intervalBytes,
    completeBytes: () => complete,
    write,
    onFailure: (error) => failures.push(error),
  });
}

/** For when nothing is under way that could complete a node. */
const nothing = (): undefined => undefined;

test('checkpoints > one begins after half an interval, and no second one beside it', async () => {
  const ends: (() => void)[] = [];
  const checkpoints = made(() => new Promise((resolve) => ends.push(resolve)));
  await checkpoints.handOut(49, nothing);
  checkpoints.beginIfDue();
  assert.equal(ends.length, 0);
  await checkpoints.handOut(1, nothing);
  checkpoints.beginIfDue();
  assert.equal(ends.length, 1);
  await checkpoints.handOut(50, nothing);
  checkpoints.beginIfDue();
  assert.equal(ends.length, 1);
  ends[0]!();
  await checkpoints.settled();
  checkpoints.beginIfDue();
  assert.equal(ends.length, 2);
});

test('checkpoints > nothing is handed out that would pass an interval, until what is whole is durable', async () => {
  const order: string[] = [];
  const end = Promise.withResolvers<void>();
  const write = async (): Promise<void> => {
    order.push('begun');
    await end.promise;
    order.push('durable');
  };
  const checkpoints = made(write, { complete: 64 });
  await checkpoints.handOut(100, nothing);
  assert.equal(order.length, 0);
  const handedOut = checkpoints.handOut(1, nothing).then(() => order.push('handed out'));
  await Promise.resolve();
  end.resolve();
  await handedOut;
  assert.deepEqual(order, ['begun', 'durable', 'handed out']);
});

test('checkpoints > nothing is waited for that could not make anything durable', async () => {
  const checkpoints = made(() => Promise.reject(new Error('not asked')));
  await checkpoints.handOut(500, nothing);
  await checkpoints.handOut(500, nothing);
});

test('checkpoints > one that fails is told of, covers nothing, and is not begun again', async () => {
  const failures: unknown[] = [];
  const failure = new Error('no room');
  let begun = 0;
  const write = (): Promise<void> => {
    begun++;
    return Promise.reject(failure);
  };
  const checkpoints = made(write, { complete: 100, failures });
  await checkpoints.handOut(100, nothing);
  const progress = (): undefined => {
    if (failures.length > 0) throw failures[0];
  };
  await assert.rejects(checkpoints.handOut(1, progress), /no room/);
  assert.deepEqual(failures, [failure]);
  assert.equal(begun, 1);
});
