import assert from 'node:assert/strict';
import { test } from 'node:test';

import { hasCode } from './dray-error.ts';
import { loopTurn } from './loop-turn.ts';
import { WorkerGroup } from './worker-group.ts';

type Task = { readonly kind: 'echo' | 'fail' | 'die' | 'hold' | 'tell'; readonly value?: number };

/** A worker that does what it is told. */
const script = `
import { serveTasks, emitEvent } from ${JSON.stringify(new URL('./serve-tasks.ts', import.meta.url).href)};
import { DrayError } from ${JSON.stringify(new URL('./dray-error.ts', import.meta.url).href)};
serveTasks({
  async handle({ kind, value }) {
    if (kind === 'echo') return value;
    if (kind === 'tell') { emitEvent(value); return value; }
    if (kind === 'fail') throw new DrayError('some-code', 'failed on purpose', { cause: new Error('because') });
    if (kind === 'die') process.exit(3);
    return await new Promise(() => {});
  },
  async close() {},
});`;
const module = new URL(`data:text/javascript,${encodeURIComponent(script)}`);

function group(workers: number, onEvent?: (event: number) => void): WorkerGroup<Task, number, number> {
  const made = new WorkerGroup<Task, number, number>({ module, workers, tasksPerWorker: 2 });
  made.begin(undefined, onEvent === undefined ? {} : { onEvent });
  return made;
}

async function ask(workers: WorkerGroup<Task, number, number>, task: Task): Promise<number> {
  const answer = Promise.withResolvers<number>();
  await workers.submit(task, (outcome) => void outcome.then(answer.resolve, answer.reject));
  return await answer.promise;
}

test('worker group > answers every task, and takes no more than its workers hold', async () => {
  await using workers = group(2);
  const answers: number[] = [];
  for (let value = 0; value < 50; value++) {
    await workers.submit({ kind: 'echo', value }, (outcome) => void outcome.then((answer) => answers.push(answer)));
  }
  await ask(workers, { kind: 'echo', value: 50 });
  while (answers.length < 50) await ask(workers, { kind: 'echo', value: 0 });
  assert.deepEqual(
    answers.toSorted((a, b) => a - b),
    Array.from({ length: 50 }, (_, value) => value),
  );
});

test('worker group > a broadcast reaches every worker', async () => {
  const told: number[] = [];
  await using workers = group(3, (event) => told.push(event));
  assert.deepEqual(await workers.broadcast({ kind: 'tell', value: 7 }), [7, 7, 7]);
  assert.deepEqual(told, [7, 7, 7]);
});

test('worker group > a failure keeps its code and cause, and fails all that comes later', async () => {
  await using workers = group(1);
  const isIt = (error: unknown): boolean =>
    hasCode(error, 'some-code') && error.cause instanceof Error && error.cause.message === 'because';
  await assert.rejects(ask(workers, { kind: 'fail' }), isIt);
  await assert.rejects(ask(workers, { kind: 'echo', value: 1 }), isIt);
  await assert.rejects(workers.broadcast({ kind: 'echo', value: 1 }), isIt);
});

test('worker group > a worker that dies fails what it held and who waits for it', async () => {
  await using workers = group(1);
  const held = ask(workers, { kind: 'hold' });
  const died = ask(workers, { kind: 'die' });
  const waiting = ask(workers, { kind: 'echo', value: 1 });
  for (const outcome of await Promise.allSettled([held, died, waiting])) assert.equal(outcome.status, 'rejected');
});

test('worker group > an abort ends waiting and pending tasks at once with its reason', async () => {
  const workers = group(1);
  const reason = new Error('stop now');
  const all = [ask(workers, { kind: 'hold' }), ask(workers, { kind: 'hold' }), ask(workers, { kind: 'hold' })];
  workers.abort(reason);
  for (const outcome of await Promise.allSettled(all)) {
    assert.equal(outcome.status === 'rejected' && outcome.reason, reason);
  }
  await workers[Symbol.asyncDispose]();
});

test('worker group > one that is closed before it has begun ends its threads, also while they load', async () => {
  const loads = `import { taskData } from ${JSON.stringify(new URL('./serve-tasks.ts', import.meta.url).href)};
await taskData();
throw new Error('began');`;
  const module = new URL(`data:text/javascript,${encodeURIComponent(loads)}`);
  for (const turns of [0, 50]) {
    await using workers = new WorkerGroup<Task, number>({ module, workers: 2, tasksPerWorker: 1 });
    for (let turn = 0; turn < turns; turn++) await loopTurn();
    await workers[Symbol.asyncDispose]();
    await assert.rejects(async () => await workers.submit({ kind: 'echo' }, () => {}), /closed/);
  }
});

test('worker group > a worker that cannot get ready fails the group with the code of its error', async () => {
  const fails = `import { prepared, taskData } from ${JSON.stringify(new URL('./serve-tasks.ts', import.meta.url).href)};
import { DrayError } from ${JSON.stringify(new URL('./dray-error.ts', import.meta.url).href)};
await taskData();
await prepared(() => { throw new DrayError('some-code', 'the source is gone'); });`;
  const module = new URL(`data:text/javascript,${encodeURIComponent(fails)}`);
  await using workers = new WorkerGroup<Task, number, number>({ module, workers: 2, tasksPerWorker: 1 });
  workers.begin(undefined);
  await assert.rejects(ask(workers, { kind: 'echo' }), (error) => hasCode(error, 'some-code'));
});
