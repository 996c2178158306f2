import type { Clock } from '../../std/clock.ts';
import { Interrupted } from './cli-error.ts';
import { exitCodes } from './exit-code.ts';

export interface SignalParts {
  /** The process, or something like it. */
  readonly emitter: {
    on(name: 'SIGINT' | 'SIGTERM', listener: (name: NodeJS.Signals) => void): unknown;
    off(name: 'SIGINT' | 'SIGTERM', listener: (name: NodeJS.Signals) => void): unknown;
  };
  readonly controller: AbortController;
  readonly clock: Clock;
  readonly say: (text: string) => void;
  /** Ends the process at once. */
  readonly exit: (code: number) => void;
}

/**
 * One Ctrl-C can arrive twice: from the terminal, and passed on by what started us (npx, timeout). What follows the first
 * within this time is the same wish, milliseconds.
 */
const sameWishMs = 300;

/**
 * Ctrl-C once asks the work to end cleanly: it keeps what it has and says how to go on. Twice ends now, which a
 * repository survives too. Disposing takes the handlers away.
 */
export function watchSignals({ emitter, controller, clock, say, exit }: SignalParts): Disposable {
  let firstMs = 0;
  const onSignal = (name: NodeJS.Signals): void => {
    if (controller.signal.aborted) {
      if (clock.monotonicMs() - firstMs >= sameWishMs) exit(exitCodes.interrupted);
      return;
    }
    firstMs = clock.monotonicMs();
    say('\ndray: ending cleanly; once more ends now\n');
    controller.abort(new Interrupted(name));
  };
  emitter.on('SIGINT', onSignal);
  emitter.on('SIGTERM', onSignal);
  return {
    [Symbol.dispose]: () => {
      emitter.off('SIGINT', onSignal);
      emitter.off('SIGTERM', onSignal);
    },
  };
}
