/**
 * The way back from a pool that is mounted from its image, before the disk below goes: unmounted, and its device ended. What
 * keeps it from that is named, also where it is in another mount namespace: a container or a service that was started while
 * the pool was open has a mount of its own, which stays when that of this process goes, and the device with it.
 */
import { realpath, stat } from 'node:fs/promises';
import { dirname, relative, resolve } from 'node:path';
import { deviceNumber } from '../kernel/block-device.ts';
import { visibleUsesOf } from '../kernel/device-uses.ts';
import { detachLoop, fileOfLoop, loopsBelow } from '../kernel/loop-device.ts';
import { mountFileSystem, unmountFileSystem } from '../kernel/mount.ts';
import { hostRoot, MountViews } from '../kernel/mount-namespaces.ts';
import { mountsOfDevice } from '../kernel/mounts.ts';
import { holdersOfFileSystem } from '../kernel/open-files.ts';
import { hasCode } from '../std/dray-error.ts';
import { PoolError, withPoolErrors } from './pool-error.ts';
import { PoolLayout } from './pool-layout.ts';
import { snapshotName } from './pool-names.ts';
import { Pool, type PoolParts } from './pool.ts';
import { whileAlone } from './while-alone.ts';

/** A message names so many of a kind. */
const namedMax = 5;

interface SignalOption {
  readonly signal: AbortSignal;
}

interface OpenImage {
  readonly layout: PoolLayout;
  readonly device: string;
  /** `major:minor` of it. */
  readonly number: string;
  readonly image: string;
}

/**
 * Unmounts a pool that lies in an image, and ends its device.
 * @returns the image
 * @throws {PoolError} `pool-in-use` while a volume of it is attached, it is mounted elsewhere, or anything else is open there: the
 *   pool goes on being open; `pool-image` when it is no such pool; `pool-missing` when it is closed; `pool-busy`
 */
export async function closeImagePool(path: string, parts: PoolParts, { signal }: SignalOption): Promise<string> {
  const root = resolve(path);
  // Nothing in it is opened before it is our turn: that would be in the way of whoever closes it now.
  if ((await stat(root).catch(() => undefined)) === undefined)
    throw new PoolError('pool-missing', `there is no ${root}`);
  return await whileAlone(root, { ...parts, signal }, async () => {
    const pool = await openImageAt(Pool.open(root, parts).layout, { signal });
    await unmount(pool, { signal });
    await endDevice(pool, { signal });
    return pool.image;
  });
}

async function openImageAt({ root }: PoolLayout, { signal }: SignalOption): Promise<OpenImage> {
  // As the kernel names it, also when a link led here.
  const layout = new PoolLayout(await withPoolErrors(`find ${root}`, async () => await realpath(root)));
  const number = deviceNumber((await stat(layout.root)).dev);
  const device = (await mountsOfDevice(number)).find(({ mountPoint }) => mountPoint === layout.root)?.source;
  const image = device === undefined ? undefined : await fileOfLoop(device, { signal });
  if (device !== undefined && image !== undefined) return { layout, device, number, image };
  throw new PoolError('pool-image', `the pool in ${layout.root} does not lie in an image: there is nothing to close`);
}

async function unmount({ layout, number }: OpenImage, { signal }: SignalOption): Promise<void> {
  try {
    await unmountFileSystem(layout.root);
  } catch (error) {
    const users = hasCode(error, 'mount-busy')
      ? [await attachedOf(layout, { signal }), await mountedIn(layout.root), await openIn(number)]
      : [];
    throw closeError(layout, { error, users: users.flat() });
  }
}

/** Somebody else may have it mounted: the pool goes on being open then. */
async function endDevice(pool: OpenImage, { signal }: SignalOption): Promise<void> {
  const { layout, device, image } = pool;
  try {
    await detachLoop(device, { file: image, signal });
  } catch (error) {
    let users: readonly string[] = [];
    let isOpen = false;
    try {
      // Looked for before it is mounted here again: what is left is what keeps it.
      const isBusy = hasCode(error, 'kernel-busy');
      if (isBusy) users = [...(await attachedOf(layout, { signal })), ...(await mountedElsewhere(pool))];
    } finally {
      isOpen = await mountAgain(pool);
    }
    signal.throwIfAborted();
    const closed = isOpen ? [] : ['it is unmounted from there, and could not be mounted again'];
    throw closeError(layout, { error, users: [...users, ...closed] });
  }
}

/** @returns whether it is mounted there, by whomever */
async function mountAgain({ layout: { root }, device, number }: OpenImage): Promise<boolean> {
  const signal = AbortSignal.timeout(30_000);
  try {
    await mountFileSystem(device, root, { type: 'xfs', options: [], signal });
    return true;
  } catch {
    const [own] = await new MountViews().near();
    return own?.mounts.some((mount) => mount.device === number && mount.mountPoint === root) === true;
  }
}

function closeError(
  { root }: PoolLayout,
  { error, users }: { readonly error: unknown; readonly users: readonly string[] },
): PoolError {
  const isBusy = hasCode(error, 'mount-busy') || hasCode(error, 'kernel-busy');
  const why = users.length === 0 ? '' : `: ${users.join(', ')}`;
  return new PoolError(isBusy ? 'pool-in-use' : 'pool-image', `close the pool in ${root}${why}`, { cause: error });
}

/** What of the pool is a device, and what uses that. */
async function attachedOf({ volumes }: PoolLayout, { signal }: SignalOption): Promise<readonly string[]> {
  const views = new MountViews();
  const attached: string[] = [];
  for (const { path, file } of await loopsBelow(volumes)) {
    const [volume = '', , snapshot = ''] = relative(volumes, dirname(file)).split('/');
    const what = snapshot === '' ? `volume ${volume}` : snapshotName({ volume, snapshot });
    const uses = await visibleUsesOf(path, { views, signal });
    const reasons = uses.map(({ reason }) => ` (${reason})`).slice(0, namedMax);
    attached.push(`${what} is attached as ${path}${reasons.join('')}`);
  }
  return attached;
}

async function mountedIn(root: string): Promise<readonly string[]> {
  const [own] = await new MountViews().near();
  const below = (own?.mounts ?? []).filter(({ mountPoint }) => mountPoint.startsWith(`${root}/`));
  return firstOf(below.map(({ mountPoint }) => `something is mounted at ${mountPoint}`));
}

async function openIn(number: string): Promise<readonly string[]> {
  const holders = await holdersOfFileSystem(number);
  return firstOf(holders.map(({ process, path }) => `${process} has ${path} open`));
}

/** Asked while it is not mounted here. */
async function mountedElsewhere({ device, number }: OpenImage): Promise<readonly string[]> {
  const views = new MountViews();
  const mounts = [...(await views.near()), ...(await views.far())].flatMap(({ root, whose, mounts: all }) => {
    const where = root === hostRoot ? ' on the host' : whose;
    return all.flatMap((mount) =>
      mount.device === number ? [`it is mounted at ${mount.mountPoint}${where} as well`] : [],
    );
  });
  return mounts.length > 0 ? firstOf(mounts) : [`no mount of ${device} is seen any more`];
}

function firstOf(all: readonly string[]): readonly string[] {
  return all.length <= namedMax ? all : [...all.slice(0, namedMax), `and ${all.length - namedMax} more`];
}
