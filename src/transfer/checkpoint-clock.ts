/**
 * When a running backup makes its progress durable: after 0.5 % of the work, but not below 256 MiB nor above 32 GiB,
 * and at the latest after ten minutes. A kill costs at most one such interval of reading again.
 */
import type { Clock } from '../std/clock.ts';

const shareOfWork = 0.005;
const intervalBytesMin = 256 * 1024 * 1024;
const intervalBytesMax = 32 * 1024 * 1024 * 1024;
const intervalMsMax = 10 * 60 * 1000;

/** What a kill may cost at most, in bytes that are read again. */
export function checkpointIntervalBytes(workBytes: number): number {
  return Math.min(intervalBytesMax, Math.max(intervalBytesMin, workBytes * shareOfWork));
}

export class CheckpointClock {
  readonly #clock: Clock;
  readonly #everyBytes: number;
  #lastBytes = 0;
  #lastMs: number;

  constructor(clock: Clock, { everyBytes }: { readonly everyBytes: number }) {
    this.#clock = clock;
    this.#everyBytes = everyBytes;
    this.#lastMs = clock.monotonicMs();
  }

  isDue(doneBytes: number): boolean {
    if (doneBytes === this.#lastBytes) return false;
    const enough = doneBytes - this.#lastBytes >= this.#everyBytes;
    return enough || this.#clock.monotonicMs() - this.#lastMs >= intervalMsMax;
  }

  /** A checkpoint that covers `doneBytes` has begun. */
  begin(doneBytes: number): void {
    this.#lastBytes = doneBytes;
    this.#lastMs = this.#clock.monotonicMs();
  }
}
