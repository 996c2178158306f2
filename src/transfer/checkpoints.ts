/**
 * When a backup or a restore makes its progress durable, and where it waits for that.
 *
 * A kill must never cost more than an interval, what the workers hold included. A checkpoint takes a twentieth to a tenth
 * of a second, in which a fast source yields 100 MiB: so one begins after half an interval, and nothing is handed out that
 * would pass a whole one. Measured, that costs less than the spread between runs.
 */
import type { Clock } from '../std/clock.ts';
import { CheckpointClock, checkpointIntervalBytes } from './checkpoint-clock.ts';

export interface CheckpointsOptions {
  /** What the run will look at, bytes. */
  readonly workBytes: number;
  /** Instead of the interval that follows from the work. */
  readonly intervalBytes?: number | undefined;
  /** How much of what was handed out a checkpoint that begins now would cover, bytes. */
  readonly completeBytes: () => number;
  /** Makes durable what is complete when it is called. One at a time. */
  readonly write: () => Promise<void>;
  readonly onFailure: (error: unknown) => void;
}

export class Checkpoints {
  /** What a kill may cost, bytes. */
  readonly intervalBytes: number;
  readonly #options: CheckpointsOptions;
  readonly #due: CheckpointClock;
  #handedOutBytes = 0;
  /** Of these, what a checkpoint covers. */
  #durableBytes = 0;
  #underWay: Promise<void> | undefined;

  constructor(clock: Clock, options: CheckpointsOptions) {
    this.#options = options;
    this.intervalBytes = options.intervalBytes ?? checkpointIntervalBytes(options.workBytes);
    this.#due = new CheckpointClock(clock, { everyBytes: this.intervalBytes / 2 });
  }

  get handedOutBytes(): number {
    return this.#handedOutBytes;
  }

  /**
   * Counts bytes that are about to be handed out, when a kill would then not cost more than an interval: waits until so.
   * @param progress what may complete something, if anything is under way; throws when the run has failed
   */
  async handOut(bytes: number, progress: () => Promise<void> | undefined): Promise<void> {
    while (this.#handedOutBytes + bytes - this.#durableBytes > this.intervalBytes) {
      const next = progress();
      if (this.#underWay === undefined && this.#options.completeBytes() > this.#durableBytes) this.#begin();
      const pause = this.#underWay ?? next;
      if (pause === undefined) break;
      await pause;
    }
    this.#handedOutBytes += bytes;
  }

  beginIfDue(): void {
    if (this.#underWay === undefined && this.#due.isDue(this.#handedOutBytes)) this.#begin();
  }

  /** When the one under way has ended, well or not. */
  async settled(): Promise<void> {
    await this.#underWay;
  }

  #begin(): void {
    this.#due.begin(this.#handedOutBytes);
    const covered = this.#options.completeBytes();
    const write = async (): Promise<void> => {
      try {
        await this.#options.write();
        this.#durableBytes = covered;
      } catch (error) {
        this.#options.onFailure(error);
      } finally {
        this.#underWay = undefined;
      }
    };
    this.#underWay = write();
  }
}
