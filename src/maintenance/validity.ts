/**
 * How long a listing of the index may be believed, by both clocks of the machine: the monotonic one stands still while the
 * machine sleeps, and the other may be set.
 */
import { RepositoryError } from '../repository/repository-error.ts';
import type { Clock } from '../std/clock.ts';

export interface Validity {
  readonly untilMonotonicMs: number;
  readonly untilMs: number;
}

/** From now on. */
export function validFor(ms: number, clock: Clock): Validity {
  return { untilMonotonicMs: clock.monotonicMs() + ms, untilMs: clock.nowMs() + ms };
}

/** @throws {RepositoryError} `index-conflict` when it is over */
export function requireValid({ untilMonotonicMs, untilMs }: Validity, clock: Clock): void {
  if (clock.monotonicMs() <= untilMonotonicMs && clock.nowMs() <= untilMs) return;
  throw new RepositoryError('index-conflict', 'merging index blobs took longer than their list may be believed');
}
