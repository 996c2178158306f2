/**
 * The worker's end of `worker-group.ts`: hands out what the group begins with, answers each task, and puts things away
 * when told to close. Messages that come while the worker is getting ready wait for it.
 */
import assert from 'node:assert/strict';
import { parentPort } from 'node:worker_threads';

import { packError } from './error-transfer.ts';
import type { BeginMessage, ReplyMessage, TaskMessage } from './worker-group.ts';

export interface TaskServer<Task> {
  /** Called at once for each task that arrives; ordering and overlap are the handler's own business. */
  handle(task: Task): Promise<unknown>;
  close(): Promise<void>;
}

type Message = BeginMessage | TaskMessage | 'close';

assert(parentPort !== null, 'not a worker thread');
const port = parentPort;
const begun = Promise.withResolvers<unknown>();
let isBegun = false;
const waiting: Message[] = [];
let receive: ((message: Message) => void) | undefined;

port.on('message', (message: Message) => {
  if (message !== 'close' && 'begin' in message) {
    isBegun = true;
    begun.resolve(message.begin);
  } else if (receive !== undefined) {
    receive(message);
  } else if (message === 'close' && !isBegun) {
    // The module waits for data that will not come.
    process.exit(0);
  } else {
    waiting.push(message);
  }
});

/** What the owner gave to `WorkerGroup.begin`, a clone of it. */
export async function taskData<Data>(): Promise<Data> {
  return (await begun.promise) as Data;
}

/**
 * What a module needs before it can serve. A failure reaches the owner with its code, which an error that escapes from a
 * thread has lost; the thread then ends.
 */
export async function prepared<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    reply({ kind: 'unready', error: packError(error) });
    // What was posted still arrives.
    return process.exit(1);
  }
}

export function emitEvent(event: unknown): void {
  reply({ kind: 'event', event });
}

export function serveTasks<Task>(server: TaskServer<Task>): void {
  receive = (message) => {
    if (message === 'close') {
      void server.close().finally(() => port.close());
      return;
    }
    const { sequence, task } = message as TaskMessage;
    server.handle(task as Task).then(
      (result) => reply({ kind: 'done', sequence, result }),
      (error: unknown) => reply({ kind: 'failed', sequence, error: packError(error) }),
    );
  };
  // When the rest of the module has run: handlers use what stands there.
  queueMicrotask(() => {
    for (const message of waiting.splice(0)) receive?.(message);
  });
}

function reply(message: ReplyMessage): void {
  port.postMessage(message);
}
