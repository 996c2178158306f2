import { toError } from '../std/to-error.ts';
import { PoolError } from './pool-error.ts';

/** Says how what comes next is taken back; told before it is begun, so a step looks whether there is anything to do. */
export type OnFailure = (step: () => Promise<void>) => void;

/**
 * When `work` fails, what it has told is done, the last first, and its failure is thrown. Where that fails as well, the
 * rest stays as it is: what cannot be unmounted must not lose its file.
 * @throws {PoolError} `pool-image` when not all could be taken back, with what `work` threw as `cause`
 */
export async function allOrNothing<T>(work: (onFailure: OnFailure) => Promise<T>): Promise<T> {
  const steps: (() => Promise<void>)[] = [];
  try {
    return await work((step) => steps.push(step));
  } catch (cause) {
    try {
      for (const step of steps.toReversed()) await step();
    } catch (error) {
      const why = toError(error).message;
      throw new PoolError('pool-image', `what was begun could not be taken back: ${why}`, { cause });
    }
    throw cause;
  }
}
