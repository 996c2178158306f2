/**
 * The fetch workers of one restore, and the index that they look into. Others may maintain the repository meanwhile: what
 * is gone is looked for once more, in the index as it is then, before it counts as damage.
 */
import assert from 'node:assert/strict';

import type { BlobStoreLocation } from '../blobs/location.ts';
import type { Repository } from '../repository/repository.ts';
import { hasCode } from '../std/dray-error.ts';
import {
  fetchTasksPerWorker,
  fetchWorkers,
  type FetchAnswer,
  type Fetched,
  type FetchOutput,
  type FetchTask,
  type FetchWorkerData,
  type FetchWorkers,
} from './fetch-messages.ts';

export interface FetchQueueOptions {
  readonly output: FetchOutput;
  readonly store: BlobStoreLocation;
  readonly parallel: number;
  /** As many as `parallel`, loading already; made when they are needed, else. */
  readonly workers?: FetchWorkers | undefined;
  readonly signal: AbortSignal;
}

type WorkTask = Exclude<FetchTask, { readonly kind: 'index' }>;

export class FetchQueue implements AsyncDisposable {
  readonly #repository: Repository;
  readonly #options: FetchQueueOptions;
  #group: FetchWorkers | undefined;
  /** The index being loaded anew; and when that has begun too early for some task, once more behind it. */
  #renewing: Promise<void> = Promise.resolve();
  #nextRenewal: Promise<void> | undefined;

  constructor(repository: Repository, options: FetchQueueOptions) {
    this.#repository = repository;
    this.#options = options;
  }

  /** When tasks may be handed out: with the tables of now, they could only come back. */
  async ready(): Promise<void> {
    await this.#renewing;
  }

  /** Resolves as soon as a worker has taken the task; what it comes to goes to `settle`. */
  async submit(task: WorkTask, settle: (outcome: Promise<Fetched>) => void): Promise<void> {
    await this.#workers().submit(task, (outcome) => settle(this.#settled(task, outcome)));
  }

  /** Fails what is pending and everything later. */
  abort(reason: unknown): void {
    this.#group?.abort(reason);
  }

  /** When this resolves, no worker does anything any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#group?.[Symbol.asyncDispose]();
    await this.#renewing.catch(() => undefined);
  }

  /** What a task came to; one that met something gone is handed out again when the index was loaded anew. */
  async #settled(task: WorkTask, outcome: Promise<FetchAnswer>): Promise<Fetched> {
    try {
      return await this.#fetched(task, await outcome);
    } catch (error) {
      // A table that the disk has changed makes whole contents look damaged.
      if (hasCode(error, 'corrupt')) await this.#repository.index.verifyTables();
      throw error;
    }
  }

  async #fetched(task: WorkTask, first: FetchAnswer): Promise<Fetched> {
    let answer = first;
    if (answer === 'gone') {
      assert(task.kind !== 'zero');
      await this.#renewIndex();
      const second = Promise.withResolvers<FetchAnswer>();
      await this.#workers().submit({ ...task, again: true }, second.resolve);
      answer = await second.promise;
    }
    assert(answer !== undefined && answer !== 'gone');
    return answer;
  }

  /** Resolves when all workers look into an index that was loaded after this was called; many calls share one loading. */
  #renewIndex(): Promise<void> {
    this.#nextRenewal ??= this.#renewing = this.#renewing.then(async () => {
      this.#nextRenewal = undefined;
      const { index } = this.#repository;
      await index.refresh({ signal: this.#options.signal });
      await this.#workers().broadcast({ kind: 'index', index: index.lookupLocation() });
      index.closeRetired();
    });
    return this.#nextRenewal;
  }

  #workers(): FetchWorkers {
    if (this.#group !== undefined) return this.#group;
    const { store, output, workers, parallel } = this.#options;
    const { opened, index } = this.#repository;
    const data: FetchWorkerData = { store, format: opened.format, index: index.lookupLocation(), output };
    this.#group = workers ?? fetchWorkers(parallel);
    this.#group.begin(data, { tasksPerWorker: fetchTasksPerWorker[store.kind] });
    return this.#group;
  }
}
