/**
 * Pools on hosts whose file system cannot share blocks: an XFS in an image file, mounted on the pool's folder. What lies
 * under the mount remembers the image, so that `open` needs the folder alone after a reboot. The image is never made
 * over: a file that is there already is refused.
 */
import { open, readFile, readdir, realpath, rm, stat, unlink } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { detachLoop, fileOfLoop, loopsBelow } from '../kernel/loop-device.ts';
import { mountFileSystem, unmountFileSystem } from '../kernel/mount.ts';
import { deviceNumber } from '../kernel/block-device.ts';
import { mountsOfDevice } from '../kernel/mounts.ts';
import { atomicWrite, isErrno, isTemporaryOf, makeDirectories, syncDirectory } from '../std/atomic-write.ts';
import { hasCode } from '../std/dray-error.ts';
import { allOrNothing } from './all-or-nothing.ts';
import { createPool } from './create-pool.ts';
import { mountImage } from './mounted-image.ts';
import { closedText, PoolError, withPoolErrors } from './pool-error.ts';
import { imageMarkName, poolRecordName, PoolLayout } from './pool-layout.ts';
import { snapshotName } from './pool-names.ts';
import { Pool, type PoolParts } from './pool.ts';
import { xfsOptions } from './reverse-map.ts';
import { runMkfs } from './run-mkfs.ts';

/** mkfs.xfs makes nothing smaller. */
const imageBytesMin = 300 * 1024 * 1024;

interface SignalOption {
  readonly signal: AbortSignal;
}

/** @throws {PoolError} `pool-image`, `pool-mkfs`, `pool-size`, and what `createPool` throws */
export async function createImagePool(
  path: string,
  parts: PoolParts,
  { image, sizeBytes, signal }: SignalOption & { readonly image: string; readonly sizeBytes: number },
): Promise<Pool> {
  const [root, file] = [resolve(path), resolve(image)];
  if (sizeBytes < imageBytesMin) throw new PoolError('pool-size', `the image of a pool needs 300 MiB at least`);
  if (sizeBytes % 4096 !== 0) throw new PoolError('pool-size', `${sizeBytes} is not a multiple of 4096`);
  await withPoolErrors(`make ${root}`, async () => await makeDirectories(root, { mode: 0o700 }));
  const inside = await readdir(root);
  if (inside.includes(poolRecordName)) throw new PoolError('pool-exists', `there is a pool in ${root} already`);
  if (inside.some((name) => !isOfMark(name))) throw new PoolError('pool-foreign', `${root} is not empty`);
  const before = await readMark(root);
  if (before !== undefined && before !== file && (await stat(before).catch(() => undefined)) !== undefined) {
    throw new PoolError('pool-exists', closedText(root, before));
  }
  const [below, beside] = await Promise.all([realpath(root), realpath(dirname(file)).catch(() => dirname(file))]);
  if (`${beside}/`.startsWith(`${below}/`)) {
    throw new PoolError('pool-image', `the image ${file} would lie under its own mount, where nobody finds it`);
  }
  return await allOrNothing(async (onFailure) => {
    await makeImageFile(file, sizeBytes);
    onFailure(async () => await unlink(file));
    await runMkfs('xfs', [...xfsOptions, file], { signal });
    onFailure(async () => await takeBackMark(root, before, parts));
    await writeMark(root, file, { ...parts, signal });
    await mountImage(root, file, { onFailure, signal });
    return await createPool(root, parts, { signal });
  });
}

/**
 * Mounts a pool's image again, after a reboot; one that is mounted is only opened.
 * @param image where it lies now, when it was moved
 * @throws {PoolError} `pool-missing`, `pool-image`
 */
export async function openImagePool(
  path: string,
  parts: PoolParts,
  { image, signal }: SignalOption & { readonly image: string | undefined },
): Promise<{ readonly pool: Pool; readonly mounted: boolean }> {
  const root = resolve(path);
  if ((await stat(join(root, poolRecordName)).catch(() => undefined)) !== undefined) {
    return { pool: Pool.open(root, parts), mounted: false };
  }
  const named = image === undefined ? await readMark(root) : resolve(image);
  if (named === undefined)
    throw new PoolError('pool-missing', `there is no pool in ${root}, and no image is known for it`);
  if ((await stat(named).catch(() => undefined)) === undefined) {
    throw new PoolError('pool-image', `the image ${named} of the pool in ${root} is gone`);
  }
  await withPoolErrors(`make ${root}`, async () => await makeDirectories(root, { mode: 0o700 }));
  const foreign = (await readdir(root)).find((name) => !isOfMark(name));
  if (foreign !== undefined) throw new PoolError('pool-foreign', `${root} holds something else: ${foreign}`);
  const before = await readMark(root);
  return await allOrNothing(async (onFailure) => {
    // What was known of the pool is known as before, also after an abort.
    onFailure(async () => await takeBackMark(root, before, parts));
    if (before !== named) await writeMark(root, named, { ...parts, signal });
    await mountImage(root, named, { onFailure, signal });
    return { pool: Pool.open(root, parts), mounted: true };
  });
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

/** Whoever was killed while he wrote the mark has left its beginning under another name. */
function isOfMark(name: string): boolean {
  return name === imageMarkName || isTemporaryOf(name, imageMarkName);
}

async function readMark(root: string): Promise<string | undefined> {
  try {
    return await readFile(join(root, imageMarkName), 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw new PoolError('pool-image', `read ${join(root, imageMarkName)}`, { cause: error });
  }
}

async function writeMark(
  root: string,
  image: string | undefined,
  { rng, signal }: PoolParts & SignalOption,
): Promise<void> {
  const path = join(root, imageMarkName);
  await withPoolErrors(`write ${path}`, async () => {
    for (const name of await readdir(root)) if (isTemporaryOf(name, imageMarkName)) await rm(join(root, name));
    if (image === undefined) await rm(path, { force: true });
    else await atomicWrite(path, Buffer.from(image), { rng, signal });
  });
}

/** Nothing is written where nothing was: the folder may be one that cannot be written to. */
async function takeBackMark(root: string, before: string | undefined, parts: PoolParts): Promise<void> {
  if ((await readMark(root)) !== before)
    await writeMark(root, before, { ...parts, signal: AbortSignal.timeout(30_000) });
}

/** One that cannot have this size is not left. */
async function makeImageFile(path: string, sizeBytes: number): Promise<void> {
  try {
    const file = await open(path, 'wx', 0o600);
    try {
      await file.truncate(sizeBytes);
      await file.sync();
      await syncDirectory(dirname(path));
    } catch (error) {
      await unlink(path);
      throw error;
    } finally {
      await file.close();
    }
  } catch (error) {
    if (isErrno(error, 'EEXIST')) throw new PoolError('pool-exists', `there is a file ${path} already`);
    throw new PoolError('pool-io', `make ${path}`, { cause: error });
  }
}
