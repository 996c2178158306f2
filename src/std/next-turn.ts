import { setImmediate } from 'node:timers/promises';

/** Lets the event loop take a turn in the middle of long synchronous work. */
export async function nextTurn(): Promise<void> {
  await setImmediate();
}
