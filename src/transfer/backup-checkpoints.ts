/**
 * When a backup makes its progress durable, and where its reading waits for that.
 *
 * A kill must never cost more than an interval, and what the workers hold. A checkpoint takes a twentieth to a tenth of
 * a second, in which a fast source yields 100 MiB: so one begins after half an interval, and reading waits for it where
 * a whole one would be passed. Measured, that costs less than the spread between runs.
 */
import type { Clock } from '../std/clock.ts';
import { CheckpointClock, checkpointIntervalBytes } from './checkpoint-clock.ts';

export interface CheckpointsOptions {
  /** What the run will look at, bytes. */
  readonly workBytes: number;
  /** Instead of the interval that follows from the work. */
  readonly intervalBytes?: number | undefined;
  /** Makes everything durable that is complete now. One at a time. */
  readonly write: () => Promise<void>;
  readonly onFailure: (error: unknown) => void;
}

export class Checkpoints {
  /** What a kill may cost, bytes. */
  readonly intervalBytes: number;
  readonly #options: CheckpointsOptions;
  readonly #due: CheckpointClock;
  /** Bytes read in all; of these, those of whole nodes; of these, those that a checkpoint covers. */
  readonly #bytes = { read: 0, whole: 0, durable: 0 };
  #underWay: Promise<void> | undefined;

  constructor(clock: Clock, options: CheckpointsOptions) {
    this.#options = options;
    this.intervalBytes = options.intervalBytes ?? checkpointIntervalBytes(options.workBytes);
    this.#due = new CheckpointClock(clock, { everyBytes: this.intervalBytes / 2 });
  }

  countRead(bytes: number): void {
    this.#bytes.read += bytes;
  }

  countWhole(bytes: number): void {
    this.#bytes.whole += bytes;
  }

  beginIfDue(): void {
    if (this.#underWay === undefined && this.#due.isDue(this.#bytes.read)) this.#begin();
  }

  /**
   * Waits while a kill would cost more than an interval.
   * @param progress what may complete a node, if anything is under way; throws when the run has failed
   */
  async bound(progress: () => Promise<void> | undefined): Promise<void> {
    const bytes = this.#bytes;
    while (bytes.read - bytes.durable >= this.intervalBytes) {
      const next = progress();
      if (this.#underWay === undefined && bytes.whole > bytes.durable) this.#begin();
      const pause = this.#underWay ?? next;
      if (pause === undefined) return;
      await pause;
    }
  }

  /** When the one under way has ended, well or not. */
  async settled(): Promise<void> {
    await this.#underWay;
  }

  #begin(): void {
    this.#due.begin(this.#bytes.read);
    const covered = this.#bytes.whole;
    const write = async (): Promise<void> => {
      try {
        await this.#options.write();
        this.#bytes.durable = covered;
      } catch (error) {
        this.#options.onFailure(error);
      } finally {
        this.#underWay = undefined;
      }
    };
    this.#underWay = write();
  }
}
