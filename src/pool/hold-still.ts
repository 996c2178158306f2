/**
 * What stands still while an image is cloned. A mounted file system is frozen: its snapshot is whole without its
 * journal. A device without one is flushed: the snapshot is what a loss of power would have left. A volume that is not
 * attached stands still by itself. Everything that can be written out beforehand is, so that the time in which
 * applications wait is little more than that of the clones.
 */
import { flushDevice, loopsOf, type LoopDevice } from '../kernel/loop-device.ts';
import { FreezeError, FreezeGuard } from '../kernel/freeze-guard.ts';
import { cloneFile } from '../kernel/reflink.ts';
import { mountsOfDevice, visibleUsesOf } from '../kernel/mounts.ts';
import { markFrozen } from './frozen-mark.ts';
import { PoolError, withPoolErrors } from './pool-error.ts';
import type { Consistency } from './pool-records.ts';
import type { Pool, PoolVolume } from './pool.ts';
import { syncFile } from './staging.ts';
import { syncFileSystemOf } from './sync-moved.ts';

export interface Stillness {
  readonly volume: PoolVolume;
  readonly consistency: Consistency;
  readonly reason: string | undefined;
  readonly device: string | undefined;
  /** `major:minor` of it. */
  readonly deviceNumber?: string | undefined;
  /** Where to freeze it. */
  readonly mountPoint: string | undefined;
}

interface SignalOption {
  readonly signal: AbortSignal;
}

/** How the volume can be held still, found without touching it. */
export async function stillnessOf(volume: PoolVolume, { signal }: SignalOption): Promise<Stillness> {
  const devices = await loopsOf(volume.image, { signal });
  const device = devices.find(({ readOnly }) => !readOnly);
  if (device === undefined) {
    return { volume, consistency: 'unattached', reason: undefined, device: undefined, mountPoint: undefined };
  }
  const mounts = await mountsOfDevice(device.deviceNumber);
  const mount = mounts.find(({ writable }) => writable) ?? mounts[0];
  if (mount === undefined) return await unmounted(volume, device, signal);
  // What is mounted read-only is written by nobody, and FIFREEZE would refuse it.
  if (!mount.writable)
    return still(volume, device, { consistency: 'frozen', reason: undefined, mountPoint: undefined });
  return still(volume, device, { consistency: 'frozen', reason: undefined, mountPoint: mount.reachablePath });
}

/** The device may be in use by a program of which nothing is seen: it must not be refused anything because we look. */
async function unmounted(volume: PoolVolume, device: LoopDevice, signal: AbortSignal): Promise<Stillness> {
  const [use] = (await visibleUsesOf(device.path, { signal })).filter(({ kind }) => kind !== 'loop');
  const reason =
    use === undefined
      ? `no file system on ${device.path} is mounted where it could be frozen`
      : `${device.path} cannot be frozen: ${use.reason}`;
  return still(volume, device, { consistency: 'crash', reason, mountPoint: undefined });
}

function still(
  volume: PoolVolume,
  device: LoopDevice,
  rest: Pick<Stillness, 'consistency' | 'reason' | 'mountPoint'>,
): Stillness {
  return { volume, device: device.path, deviceNumber: device.deviceNumber, ...rest };
}

/** An open image, and the open empty file that becomes its clone. */
export interface StillClone {
  readonly stillness: Stillness;
  readonly fromFd: number;
  readonly toFd: number;
}

export interface ClonedStill {
  /** How long writers waited, milliseconds; 0 when nothing was frozen. */
  readonly frozenMs: number;
  /** When it was, milliseconds since 1970: the middle of that time, as near as it can be told. */
  readonly atMs: number;
}

interface CloneOptions extends SignalOption {
  readonly boundMs: number;
}

/**
 * Clones images while all of them stand still, for `boundMs` at most.
 * @throws {PoolError} `pool-freeze` when a file system cannot be frozen or the bound has passed; nothing is frozen then
 */
export async function cloneStill(
  pool: Pool,
  clones: readonly StillClone[],
  { boundMs, signal }: CloneOptions,
): Promise<ClonedStill> {
  const { clock } = pool;
  const stillnesses = clones.map(({ stillness }) => stillness);
  const frozen = stillnesses.flatMap(({ mountPoint, deviceNumber }) => {
    return mountPoint === undefined || deviceNumber === undefined ? [] : [{ mountPoint, deviceNumber }];
  });
  if (frozen.length === 0) {
    await writeOut(stillnesses);
    const atMs = clock.nowMs();
    for (const { fromFd, toFd } of clones) await cloneFile(fromFd, toFd);
    return { frozenMs: 0, atMs };
  }
  const mountPoints = frozen.map(({ mountPoint }) => mountPoint);
  try {
    const devices = frozen.map(({ deviceNumber }) => deviceNumber);
    await using _mark = await markFrozen(pool, devices, { signal });
    await using guard = await FreezeGuard.start(mountPoints, { clones, boundMs, clock, signal });
    await writeOut(stillnesses);
    // Whoever freezes has written out everything through its device: nothing is left in that one's cache.
    const frozenMs = await guard.cloneFrozen();
    if (frozenMs !== undefined) return { frozenMs, atMs: clock.nowMs() - frozenMs / 2 };
    throw new PoolError('pool-freeze', `the file systems were let go after ${boundMs} ms: cloning took longer`);
  } catch (error) {
    if (!(error instanceof FreezeError)) throw error;
    throw new PoolError('pool-freeze', 'the file systems could not be held still', { cause: error });
  }
}

/** What is written out now need not be written out while applications wait. */
async function writeOut(stillnesses: readonly Stillness[]): Promise<void> {
  for (const { mountPoint, device, volume } of stillnesses) {
    await withPoolErrors(`write out volume ${volume.name}`, async () => {
      if (mountPoint !== undefined) await syncFileSystemOf(mountPoint);
      if (device !== undefined) await flushDevice(device);
      await syncFile(volume.image);
    });
  }
}
