import type { Clock } from '../../src/std/clock.ts';

/** Time that passes when a test says so; a sleeper makes it pass. */
export class SimClock implements Clock {
  #ms: number;
  readonly #startMs: number;

  constructor(startMs: number) {
    this.#ms = startMs;
    this.#startMs = startMs;
  }

  nowMs(): number {
    return this.#ms;
  }

  monotonicMs(): number {
    return this.#ms - this.#startMs;
  }

  async sleep(ms: number): Promise<void> {
    this.advance(ms);
  }

  advance(ms: number): void {
    this.#ms += ms;
  }
}
