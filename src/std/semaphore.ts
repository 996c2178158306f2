import assert from 'node:assert/strict';
import { abortReason } from './abort.ts';

interface Waiter {
  readonly units: number;
  readonly admit: () => void;
}

/** A weighted counting semaphore, first come first served: bounds bytes in flight or work in progress. */
export class Semaphore {
  readonly unitsMax: number;
  #freeUnits: number;
  readonly #waiters: Waiter[] = [];

  constructor(unitsMax: number) {
    assert(Number.isSafeInteger(unitsMax) && unitsMax > 0, `not a number of units: ${unitsMax}`);
    this.unitsMax = unitsMax;
    this.#freeUnits = unitsMax;
  }

  get freeUnits(): number {
    return this.#freeUnits;
  }

  /**
   * Resolves when `units` are free and taken; dispose the result to give them back. A request larger than the whole
   * semaphore gets the whole of it, so that one oversized item passes alone instead of never.
   * An abort while waiting takes nothing.
   */
  async acquire(units: number, { signal }: { readonly signal: AbortSignal }): Promise<Disposable> {
    signal.throwIfAborted();
    const taken = Math.min(units, this.unitsMax);
    if (this.#waiters.length === 0 && taken <= this.#freeUnits) this.#freeUnits -= taken;
    else await this.#wait(taken, signal);
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (held) this.#release(taken);
        held = false;
      },
    };
  }

  #wait(units: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        units,
        admit: () => {
          signal.removeEventListener('abort', leave);
          resolve();
        },
      };
      const leave = (): void => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        this.#admitWaiting();
        reject(abortReason(signal));
      };
      signal.addEventListener('abort', leave, { once: true });
      this.#waiters.push(waiter);
    });
  }

  #release(units: number): void {
    this.#freeUnits += units;
    this.#admitWaiting();
  }

  #admitWaiting(): void {
    for (let next = this.#waiters[0]; next !== undefined && next.units <= this.#freeUnits; next = this.#waiters[0]) {
      this.#waiters.shift();
      this.#freeUnits -= next.units;
      next.admit();
    }
  }
}
