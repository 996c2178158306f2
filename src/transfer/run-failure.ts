/**
 * What ends a run: the first failure of any of its parts, or its caller's abort. Parts that run beside each other note
 * it here, and whoever goes on next meets it.
 */
import { toError } from '../std/to-error.ts';

export class RunFailure implements Disposable {
  readonly #signal: AbortSignal;
  readonly #onAbort: () => void;
  #first: Error | undefined;

  /** @param stop called once with the reason when the caller aborts */
  constructor(signal: AbortSignal, stop: (reason: unknown) => void) {
    this.#signal = signal;
    this.#onAbort = () => {
      this.note(signal.reason);
      stop(signal.reason);
    };
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  note(error: unknown): void {
    this.#first ??= toError(error);
  }

  throwIfAny(): void {
    if (this.#first !== undefined) throw this.#first;
  }

  [Symbol.dispose](): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
  }
}
