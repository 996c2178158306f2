/** The worker's end of `worker-group.ts`: answers each task, and puts things away when told to close. */
import assert from 'node:assert/strict';
import { parentPort } from 'node:worker_threads';

import { packError } from './error-transfer.ts';
import type { ReplyMessage, TaskMessage } from './worker-group.ts';

export interface TaskServer<Task> {
  /** Called at once for each task that arrives; ordering and overlap are the handler's own business. */
  handle(task: Task): Promise<unknown>;
  close(): Promise<void>;
}

export function emitEvent(event: unknown): void {
  reply({ kind: 'event', event });
}

export function serveTasks<Task>(server: TaskServer<Task>): void {
  assert(parentPort !== null, 'not a worker thread');
  const port = parentPort;
  port.on('message', (message: TaskMessage | 'close') => {
    if (message === 'close') {
      void server.close().finally(() => port.close());
      return;
    }
    const { sequence } = message;
    server.handle(message.task as Task).then(
      (result) => reply({ kind: 'done', sequence, result }),
      (error: unknown) => reply({ kind: 'failed', sequence, error: packError(error) }),
    );
  });
}

function reply(message: ReplyMessage): void {
  parentPort?.postMessage(message);
}
