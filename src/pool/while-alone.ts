/** One at a time mounts a pool's image on its folder, or takes it off. */
import { realpath } from 'node:fs/promises';
import { dirname } from 'node:path';
import { FileLock } from '../kernel/lock-file.ts';
import type { Clock } from '../std/clock.ts';
import { hasCode } from '../std/dray-error.ts';
import { PoolError, poolError } from './pool-error.ts';

/** A mount takes long where a journal has to be replayed. */
const lockWaitMs = 60_000;

/**
 * Runs `work` while nobody else makes, opens or closes a pool in an image on this folder, such as a unit at boot and somebody at a
 * terminal: each would make a device of the image, and whoever cannot mount it would take back what the other has mounted. What is locked
 * is the folder that it lies in: its own path leads to another folder as soon as something is mounted, and a file would stay.
 * @throws {PoolError} `pool-busy` after a minute
 */
export async function whileAlone<T>(
  root: string,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
  work: () => Promise<T>,
): Promise<T> {
  using lock = new DisposableStack();
  try {
    const above = dirname(await realpath(root));
    lock.use(await FileLock.take(above, { mode: 'exclusive', waitMs: lockWaitMs, create: false, clock, signal }));
  } catch (error) {
    if (!hasCode(error, 'kernel-busy')) throw poolError(error, `lock the folder of ${root}`);
    throw new PoolError('pool-busy', `another process makes, opens or closes the pool in ${root}`, { cause: error });
  }
  return await work();
}
