import { FileLock } from '../kernel/lock-file.ts';
import type { Clock } from '../std/clock.ts';
import { hasCode } from '../std/dray-error.ts';

export interface HeldOptions {
  /** How he would have it locked. */
  readonly by: 'shared' | 'exclusive';
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Whether somebody alive works in a folder of `staging`: he has it locked. */
export async function isFolderHeld(folder: string, { by, ...options }: HeldOptions): Promise<boolean> {
  // The least that he excludes, so that two who ask do not take each other for him.
  const mode = by === 'shared' ? 'exclusive' : 'shared';
  try {
    using _lock = await FileLock.take(folder, { mode, waitMs: 0, create: false, ...options });
    return false;
  } catch (error) {
    return hasCode(error, 'kernel-busy');
  }
}
