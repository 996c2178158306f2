/**
 * A fixed group of worker threads that run one kind of task. The threads load their module at once, so that this can
 * overlap with finding out what they need (a key is derived in the time that a thread takes to start); tasks are taken
 * once `begin` has given them that. The owner submits, each worker holds a bounded number of tasks, results come back
 * in any order. A worker that fails or dies fails the group: the first failure is kept and thrown by every later call.
 * `serve-tasks.ts` is the other end.
 */
import assert from 'node:assert/strict';
import { Worker } from 'node:worker_threads';

import { toError } from './to-error.ts';
import { unpackError, type TransferredError } from './error-transfer.ts';

/** The first message. */
export interface BeginMessage {
  readonly begin: unknown;
}

export interface TaskMessage {
  readonly sequence: number;
  readonly task: unknown;
}

export type ReplyMessage =
  | { readonly kind: 'done'; readonly sequence: number; readonly result: unknown }
  | { readonly kind: 'failed'; readonly sequence: number; readonly error: TransferredError }
  | { readonly kind: 'event'; readonly event: unknown }
  /** The worker could not get ready, and ends. */
  | { readonly kind: 'unready'; readonly error: TransferredError };

export interface WorkerGroupOptions {
  /** The module that calls `serveTasks`. */
  readonly module: URL;
  readonly workers: number;
  /** Tasks that one worker holds at a time, the running one included. */
  readonly tasksPerWorker: number;
}

interface BeginOptions<Event> {
  readonly onEvent?: (event: Event) => void;
  readonly tasksPerWorker?: number;
}

interface Pending {
  readonly worker: number;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** How long a worker may take to put its things away before it is ended, milliseconds. */
const closeTimeoutMs = 5_000;
/**
 * Of a worker's heap, MiB: three semi-spaces of 4. Nearly all of its memory are buffers, and V8's own choice takes several MiB more for
 * each; with less, whoever restores many small files collects twice as often.
 */
const maxYoungGenerationSizeMb = 12;

export class WorkerGroup<Task, Result, Event = never> implements AsyncDisposable {
  readonly #workers: Worker[] = [];
  /** One a worker, settled when its thread has ended, however it ended. */
  readonly #ended: Promise<void>[] = [];
  readonly #held: number[] = [];
  readonly #pending = new Map<number, Pending>();
  readonly #waiting: (() => void)[] = [];
  #tasksPerWorker: number;
  #onEvent: ((event: Event) => void) | undefined;
  #begun = false;
  #sequence = 0;
  #failure: Error | undefined;
  #closing = false;

  constructor(options: WorkerGroupOptions) {
    this.#tasksPerWorker = options.tasksPerWorker;
    for (let index = 0; index < options.workers; index++) {
      const worker = new Worker(options.module, { resourceLimits: { maxYoungGenerationSizeMb } });
      worker.on('message', (reply: ReplyMessage) => this.#receive(reply));
      worker.on('error', (error) => this.#fail(error));
      // Asked for now: a worker that is dead when the group is closed says nothing any more.
      const ended = Promise.withResolvers<void>();
      worker.on('exit', (code) => {
        if (!this.#closing) this.#fail(new Error(`worker thread ended early with code ${code}`));
        ended.resolve();
      });
      this.#ended.push(ended.promise);
      this.#workers.push(worker);
      this.#held.push(0);
    }
  }

  get size(): number {
    return this.#workers.length;
  }

  /**
   * Gives each worker its own clone of what `taskData` is to return there. Once, before the first task.
   * `tasksPerWorker`: instead of what the group was made with, where that is known only now.
   */
  begin(data: unknown, { onEvent, tasksPerWorker }: BeginOptions<Event> = {}): void {
    assert(!this.#begun);
    this.#begun = true;
    this.#tasksPerWorker = tasksPerWorker ?? this.#tasksPerWorker;
    this.#onEvent = onEvent;
    const message: BeginMessage = { begin: data };
    for (const worker of this.#workers) worker.postMessage(message);
  }

  /**
   * Resolves as soon as a worker has taken the task; its result, or failure, then goes to `settle`. So a caller that
   * awaits each `submit` is slowed to the pace of the workers.
   */
  async submit(task: Task, settle: (outcome: Promise<Result>) => void): Promise<void> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      const worker = this.#leastBusy();
      if (this.#held[worker]! < this.#tasksPerWorker) {
        settle(this.#send(worker, task));
        return;
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Gives every worker this task, beyond the bound; resolves with all results. */
  async broadcast(task: Task): Promise<Result[]> {
    if (this.#failure !== undefined) throw this.#failure;
    return await Promise.all(this.#workers.map((_, worker) => this.#send(worker, task)));
  }

  /** Fails everything that is pending and everything later; for the owner's abort. */
  abort(reason: unknown): void {
    this.#fail(reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    await Promise.all(
      this.#workers.map(async (worker, index) => {
        worker.postMessage('close');
        const timer = setTimeout(() => void worker.terminate(), closeTimeoutMs);
        await this.#ended[index];
        clearTimeout(timer);
      }),
    );
    this.#fail(new Error('the worker group is closed'));
  }

  #send(worker: number, task: Task): Promise<Result> {
    assert(this.#begun);
    const sequence = this.#sequence++;
    this.#held[worker]!++;
    const outcome = new Promise<unknown>((resolve, reject) => this.#pending.set(sequence, { worker, resolve, reject }));
    const message: TaskMessage = { sequence, task };
    this.#workers[worker]!.postMessage(message);
    return outcome as Promise<Result>;
  }

  #leastBusy(): number {
    let best = 0;
    for (let worker = 1; worker < this.#held.length; worker++) {
      if (this.#held[worker]! < this.#held[best]!) best = worker;
    }
    return best;
  }

  #receive(reply: ReplyMessage): void {
    if (reply.kind === 'event') {
      this.#onEvent?.(reply.event as Event);
      return;
    }
    if (reply.kind === 'unready') {
      this.#fail(unpackError(reply.error));
      return;
    }
    const pending = this.#pending.get(reply.sequence);
    if (pending === undefined) return;
    this.#pending.delete(reply.sequence);
    this.#held[pending.worker]!--;
    if (reply.kind === 'done') {
      pending.resolve(reply.result);
      this.#waiting.shift()?.();
    } else {
      const error = unpackError(reply.error);
      pending.reject(error);
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= toError(error);
    for (const pending of this.#pending.values()) pending.reject(this.#failure);
    this.#pending.clear();
    for (const wake of this.#waiting.splice(0)) wake();
  }
}
