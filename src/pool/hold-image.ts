/**
 * Images in use: whoever reads a snapshot holds a shared lock on its image, which dies with him; whoever would remove or
 * replace an image needs it for himself. Devices that the kernel made of it are looked for as well.
 */
import { FileLock } from '../kernel/lock-file.ts';
import { loopsOf } from '../kernel/loop-device.ts';
import { hasCode } from '../std/dray-error.ts';
import { PoolError, poolError, refusal, withPoolErrors } from './pool-error.ts';
import { snapshotName } from './pool-names.ts';
import type { Pool, PoolSnapshot } from './pool.ts';

interface SignalOption {
  readonly signal: AbortSignal;
}

/**
 * Keeps a snapshot from being removed until disposed of. One that was removed since it was looked at is missing, also when
 * another has its name by now: what was said of the one must not be believed of the other.
 * @throws {PoolError} `pool-snapshot-missing`, `pool-in-use`
 */
export async function holdSnapshot(pool: Pool, snapshot: PoolSnapshot, { signal }: SignalOption): Promise<Disposable> {
  const { volume, snapshot: name, image, record } = snapshot;
  const what = snapshotName(snapshot);
  using lock = new DisposableStack();
  try {
    lock.use(await FileLock.take(image, { mode: 'shared', waitMs: 5000, create: false, clock: pool.clock, signal }));
  } catch (error) {
    const why = `${what} is being removed`;
    if (hasCode(error, 'kernel-busy')) throw new PoolError('pool-in-use', why, { cause: error });
    pool.snapshot(volume, name);
    throw poolError(error, `hold ${what}`);
  }
  if (pool.findSnapshot(volume, name)?.record.id === record.id) return lock.move();
  throw new PoolError('pool-snapshot-missing', `${what} was removed, and made anew, meanwhile`);
}

/**
 * Makes sure that nobody uses an image that is about to go, and keeps it so until disposed of.
 * @throws {PoolError} `pool-in-use`
 */
export async function claimImage(
  pool: Pool,
  { image, what }: { readonly image: string; readonly what: string },
  { signal }: SignalOption,
): Promise<Disposable> {
  const [device] = await withPoolErrors(`look at ${what}`, async () => await loopsOf(image, { signal }));
  if (device !== undefined) throw refusal('pool-in-use', { what, reason: `attached as ${device.path}` });
  try {
    return await FileLock.take(image, { mode: 'exclusive', waitMs: 0, create: false, clock: pool.clock, signal });
  } catch (error) {
    if (!hasCode(error, 'kernel-busy')) throw poolError(error, `claim ${what}`);
    throw refusal('pool-in-use', { what, reason: 'being read, by a backup or a comparison' }, { cause: error });
  }
}
