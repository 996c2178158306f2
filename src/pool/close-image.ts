/** The way back from a pool that is mounted from its image, before the disk below goes. */
import { realpath, stat } from 'node:fs/promises';
import { dirname, relative } from 'node:path';
import { deviceNumber } from '../kernel/block-device.ts';
import { detachLoop, fileOfLoop, loopsBelow } from '../kernel/loop-device.ts';
import { mountFileSystem, unmountFileSystem } from '../kernel/mount.ts';
import { mountsOfDevice } from '../kernel/mounts.ts';
import { hasCode } from '../std/dray-error.ts';
import { PoolError, withPoolErrors } from './pool-error.ts';
import { PoolLayout } from './pool-layout.ts';
import { snapshotName } from './pool-names.ts';
import { Pool, type PoolParts } from './pool.ts';

interface SignalOption {
  readonly signal: AbortSignal;
}

/**
 * The other way round, before the disk below goes: unmounts a pool that lies in an image, and ends its device.
 * @returns the image
 * @throws {PoolError} `pool-in-use` while a volume of it is attached, or anything else is open there; `pool-image` when it is no
 *   such pool
 */
export async function closeImagePool(path: string, parts: PoolParts, { signal }: SignalOption): Promise<string> {
  const opened = Pool.open(path, parts).layout;
  // As the kernel names it, also when a link led here.
  const layout = new PoolLayout(await withPoolErrors(`find ${opened.root}`, async () => await realpath(opened.root)));
  const number = deviceNumber((await stat(layout.root)).dev);
  const device = (await mountsOfDevice(number)).find(({ mountPoint }) => mountPoint === layout.root)?.source;
  const image = device === undefined ? undefined : await fileOfLoop(device, { signal });
  if (device === undefined || image === undefined)
    throw new PoolError('pool-image', `the pool in ${layout.root} does not lie in an image: there is nothing to close`);
  try {
    await unmountFileSystem(layout.root);
    await detachUnlessUsed(layout.root, { device, image, signal });
  } catch (error) {
    const busy = hasCode(error, 'mount-busy') || hasCode(error, 'kernel-busy');
    const users = busy ? await usersOf(layout, number) : '';
    throw new PoolError(busy ? 'pool-in-use' : 'pool-image', `close the pool in ${layout.root}${users}`, {
      cause: error,
    });
  }
  return image;
}

/** Somebody else may have it mounted: the pool goes on being open then. */
async function detachUnlessUsed(
  root: string,
  { device, image, signal }: SignalOption & { readonly device: string; readonly image: string },
): Promise<void> {
  try {
    await detachLoop(device, { file: image, signal });
  } catch (error) {
    await mountFileSystem(device, root, { type: 'xfs', options: [], signal: AbortSignal.timeout(30_000) });
    throw error;
  }
}

/** For a message: what of the pool is a device, and where else it is mounted. @param number of the device that it lies on */
async function usersOf({ root, volumes }: PoolLayout, number: string): Promise<string> {
  const mounts = (await mountsOfDevice(number)).filter(({ mountPoint }) => mountPoint !== root);
  const attached = (await loopsBelow(volumes)).map(({ path, file }) => {
    const [volume = '', , snapshot = ''] = relative(volumes, dirname(file)).split('/');
    return `${snapshot === '' ? `volume ${volume}` : snapshotName({ volume, snapshot })} is attached as ${path}`;
  });
  const users = [...attached, ...mounts.map(({ mountPoint }) => `it is mounted at ${mountPoint} as well`)];
  return users.length === 0 ? '' : `: ${users.join(', ')}`;
}
