/**
 * Volumes and snapshots as block devices. What is attached is asked of the kernel each time, never remembered: no record
 * can be wrong after a crash or a reboot. The sector size is the volume's own and always passed: left to the kernel it
 * would change with the first snapshot on XFS (512 to 4096), and what stands on the device would not open any more.
 */
import { attachLoop, detachLoop, loopsOf, type LoopDevice } from '../kernel/loop-device.ts';
import { usesOf } from '../kernel/device-uses.ts';
import { hasCode } from '../std/dray-error.ts';
import { PoolError, withPoolErrors } from './pool-error.ts';
import { snapshotName, type SnapshotName } from './pool-names.ts';
import type { Pool } from './pool.ts';

interface SignalOption {
  readonly signal: AbortSignal;
}

export interface Attached {
  readonly device: LoopDevice;
  /** False when it was attached already. */
  readonly made: boolean;
}

/**
 * A second call gives the same device.
 * @throws {PoolError} `pool-in-use` when it is attached in the other way
 */
export async function attachVolume(
  pool: Pool,
  name: string,
  { readOnly, signal }: SignalOption & { readonly readOnly: boolean },
): Promise<Attached> {
  return await pool.change(
    async () => {
      const { image, record } = pool.volume(name);
      return await attach({ image, what: `volume ${name}`, readOnly, sectorBytes: record.sectorBytes, signal });
    },
    { signal },
  );
}

/** Read-only. @throws {PoolError} `pool-snapshot-missing` */
export async function attachSnapshot(
  pool: Pool,
  { volume, snapshot }: SnapshotName,
  { signal }: SignalOption,
): Promise<Attached> {
  return await pool.change(
    async () => {
      const { image, record } = pool.snapshot(volume, snapshot);
      const what = snapshotName({ volume, snapshot });
      return await attach({ image, what, readOnly: true, sectorBytes: record.sectorBytes, signal });
    },
    { signal },
  );
}

async function attach(options: {
  readonly image: string;
  readonly what: string;
  readonly readOnly: boolean;
  readonly sectorBytes: number;
  readonly signal: AbortSignal;
}): Promise<Attached> {
  const { image, what, readOnly, sectorBytes, signal } = options;
  const [device] = await loopsOf(image, { signal });
  if (device === undefined) {
    const made = await withPoolErrors(
      `attach ${what}`,
      async () => await attachLoop(image, { readOnly, sectorBytes, signal }),
    );
    return { device: made, made: true };
  }
  if (device.readOnly === readOnly) return { device, made: false };
  const way = device.readOnly ? 'read-only' : 'for reading and writing';
  throw new PoolError('pool-in-use', `${what} is attached as ${device.path}, ${way}`);
}

/**
 * Gone when resolved; everything written through the device is in the image.
 * @returns the device that it was, undefined when it was not attached
 * @throws {PoolError} `pool-in-use` while it is mounted or open
 */
export async function detachVolume(pool: Pool, name: string, { signal }: SignalOption): Promise<string | undefined> {
  return await pool.change(async () => await detach(pool.volume(name).image, `volume ${name}`, signal), { signal });
}

/** As `detachVolume`. */
export async function detachSnapshot(
  pool: Pool,
  { volume, snapshot }: SnapshotName,
  { signal }: SignalOption,
): Promise<string | undefined> {
  const what = snapshotName({ volume, snapshot });
  return await pool.change(async () => await detach(pool.snapshot(volume, snapshot).image, what, signal), { signal });
}

async function detach(image: string, what: string, signal: AbortSignal): Promise<string | undefined> {
  const devices = await loopsOf(image, { signal });
  for (const { path } of devices) {
    const uses = (await usesOf(path, { signal })).filter(({ kind }) => kind !== 'loop');
    const [use] = uses;
    if (use !== undefined)
      throw new PoolError('pool-in-use', `${what} is attached as ${path}, and in use: ${use.reason}`);
    try {
      await withPoolErrors(`detach ${what}`, async () => await detachLoop(path, { file: image, signal }));
    } catch (error) {
      if (!(error instanceof PoolError) || !hasCode(error.cause, 'kernel-busy')) throw error;
      throw new PoolError('pool-in-use', `${path}, as which ${what} is attached, is open`, { cause: error.cause });
    }
  }
  return devices[0]?.path;
}
