/** Runs tasks one after the other, and puts what came of each into the history (Kopia `ReportRun`). */
import { messageChain } from '../std/causes.ts';
import { hasCode } from '../std/dray-error.ts';
import { nanosecondsFromMs, type Nanoseconds } from '../std/go-time.ts';
import { toError } from '../std/to-error.ts';
import type { RunRecord, Schedule, TaskName } from './schedule.ts';
import type { ScheduleBlob } from './schedule-blob.ts';
import type { TaskContext, TaskOutcome } from './task.ts';

export interface TaskReport extends Omit<TaskOutcome, 'extra' | 'summary'> {
  readonly task: TaskName;
  /** `planned` with a dry run. */
  readonly state: 'done' | 'planned' | 'skipped';
  /** What was done, or why nothing was. */
  readonly summary: string;
  /** Kopia's own counts. */
  readonly stats: TaskOutcome['extra']['data'];
}

export interface TaskRunnerParts {
  readonly context: TaskContext;
  readonly blob: ScheduleBlob;
  readonly onTask: (task: string) => void;
  readonly onWarning: (text: string) => void;
}

export class TaskRunner {
  readonly #parts: TaskRunnerParts;
  readonly #reports: TaskReport[] = [];
  /** What a dry run has not put into the history. */
  readonly #planned: (readonly [TaskName, RunRecord])[] = [];
  /** True when this run may have written contents again without telling: their old packs are not to be touched. */
  copiesCount = false;

  constructor(parts: TaskRunnerParts) {
    this.#parts = parts;
  }

  get reports(): readonly TaskReport[] {
    return this.#reports;
  }

  /** The history as it is now; with a dry run, as it would be. */
  async schedule(): Promise<Schedule> {
    const stored = await this.#parts.blob.read(this.#parts.context);
    return this.#planned.reduce((schedule, [task, record]) => schedule.withRun(task, record), stored);
  }

  /** With a dry run: what a task would do if it were time for it. */
  async look(task: TaskName, why: string, work: () => Promise<TaskOutcome>): Promise<void> {
    if (!this.#parts.context.dryRun) return this.skip(task, why);
    const { summary } = await work();
    this.skip(task, `${why}; then ${summary}`);
  }

  skip(task: TaskName, why: string): void {
    this.#reports.push({ task, state: 'skipped', summary: why, stats: null });
  }

  /** @throws what the task throws; by then the history says so */
  async run(task: TaskName, work: () => Promise<TaskOutcome>): Promise<void> {
    const { context, onTask } = this.#parts;
    const { dryRun, signal } = context;
    onTask(task);
    const start = this.#now();
    let outcome: TaskOutcome;
    try {
      outcome = await work();
    } catch (error) {
      if (!dryRun && !signal.aborted) await this.#record(task, this.#failed(start, error));
      throw error;
    }
    const { extra, ...rest } = outcome;
    this.#reports.push({ task, state: dryRun ? 'planned' : 'done', stats: extra.data, ...rest });
    const record = { start, end: this.#now(), error: undefined, extra };
    if (dryRun) this.#planned.push([task, record]);
    else await this.#record(task, record);
  }

  #failed(start: Nanoseconds, error: unknown): RunRecord {
    return { start, end: this.#now(), error: messageChain(toError(error)), extra: undefined };
  }

  async #record(task: TaskName, record: RunRecord): Promise<void> {
    const { blob, context, onWarning } = this.#parts;
    try {
      await blob.change((schedule) => schedule.withRun(task, record), context);
    } catch (error) {
      // Without this entry the next run could remove what readers with an older index still look into.
      const isRewrite = task === 'full-rewrite-contents' || task === 'quick-rewrite-contents';
      const isNeeded = isRewrite && record.error === undefined;
      const isTold = record.error !== undefined || hasCode(error, 'blob-no-space');
      if (isNeeded || !isTold) throw error;
      onWarning(`that ${task} was run stands nowhere: ${messageChain(toError(error))}`);
    }
  }

  #now(): Nanoseconds {
    return nanosecondsFromMs(this.#parts.context.clock.nowMs());
  }
}
