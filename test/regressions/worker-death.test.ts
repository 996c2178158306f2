/** A group whose worker has died once waited for ever to be closed: the command ended with status 13 and no word. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { WorkerGroup } from '../../src/std/worker-group.ts';

/** A worker that answers each task with itself, but `exit` ends its thread and `throw` lets an error escape. */
const program = `
import { serveTasks } from ${JSON.stringify(new URL('../../src/std/serve-tasks.ts', import.meta.url).href)};
serveTasks({
  async handle(task) {
    if (task === 'exit') process.exit(3);
    if (task === 'throw') {
      setImmediate(() => { throw new Error('escaped'); });
      await new Promise(() => {});
    }
    if (task === 'fail') throw new Error('failed');
    return task;
  },
  async close() {},
});`;

function group(workers: number): WorkerGroup<string, string> {
  const module = new URL(`data:text/javascript,${encodeURIComponent(program)}`);
  const made = new WorkerGroup<string, string>({ module, workers, tasksPerWorker: 1 });
  made.begin(undefined);
  return made;
}

async function run(workers: WorkerGroup<string, string>, task: string): Promise<string> {
  const answer = Promise.withResolvers<string>();
  await workers.submit(task, (outcome) => void outcome.then(answer.resolve, answer.reject));
  return await answer.promise;
}

describe('worker death', () => {
  for (const task of ['exit', 'throw', 'fail']) {
    test(`a worker that meets "${task}" fails what is pending and what waits, and the group can still be closed`, async () => {
      const workers = group(2);
      const tasks = [task, ...Array.from({ length: 8 }, () => 'throw')].map(async (each) => await run(workers, each));
      const outcomes = await Promise.allSettled(tasks);
      assert.deepEqual(new Set(outcomes.map(({ status }) => status)), new Set(['rejected']));
      await assert.rejects(run(workers, 'later'), /ended early|escaped|failed/);
      await workers[Symbol.asyncDispose]();
    });
  }

  test('closing a group twice is closing it once', async () => {
    const workers = group(2);
    await workers[Symbol.asyncDispose]();
    await workers[Symbol.asyncDispose]();
    await assert.rejects(run(workers, 'later'), /closed/);
  });
});
