/**
 * Pools on hosts whose file system cannot share blocks: an XFS in an image file, mounted on the pool's folder. What lies
 * under the mount remembers the image, so that `open` needs the folder alone after a reboot. The image is never made
 * over: a file that is there already is refused.
 */
import { open, readFile, readdir, realpath, rm, stat, unlink } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { attachLoop, detachLoop, fileOfLoop, loopsBelow, loopsOf } from '../kernel/loop-device.ts';
import { mountFileSystem, unmountFileSystem } from '../kernel/mount.ts';
import { deviceNumber, mountsOfDevice } from '../kernel/mounts.ts';
import { atomicWrite, isErrno, makeDirectories, syncDirectory } from '../std/atomic-write.ts';
import { hasCode } from '../std/dray-error.ts';
import { createPool } from './create-pool.ts';
import { PoolError, withPoolErrors } from './pool-error.ts';
import { imageMarkName, poolRecordName, PoolLayout } from './pool-layout.ts';
import { snapshotName } from './pool-names.ts';
import { Pool, type PoolParts } from './pool.ts';
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
  if (inside.some((name) => name !== imageMarkName)) throw new PoolError('pool-foreign', `${root} is not empty`);
  const before = await readMark(root);
  if (before !== undefined && before !== file && (await stat(before).catch(() => undefined)) !== undefined) {
    throw new PoolError('pool-exists', `the pool in ${root} lies in ${before}, which is not mounted`);
  }
  const [below, beside] = await Promise.all([realpath(root), realpath(dirname(file)).catch(() => dirname(file))]);
  if (`${beside}/`.startsWith(`${below}/`)) {
    throw new PoolError('pool-image', `the image ${file} would lie under its own mount, where nobody finds it`);
  }
  await makeImageFile(file, sizeBytes);
  try {
    await runMkfs('xfs', ['-m', 'reflink=1', file], { signal });
    await writeMark(root, file, { ...parts, signal });
    await mountImage(root, file, { signal });
  } catch (error) {
    await writeMark(root, before, { ...parts, signal: AbortSignal.timeout(30_000) });
    await unlink(file);
    throw error;
  }
  return await createPool(root, parts, { signal });
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
  const foreign = (await readdir(root)).find((name) => name !== imageMarkName);
  if (foreign !== undefined) throw new PoolError('pool-foreign', `${root} holds something else: ${foreign}`);
  const before = await readMark(root);
  await writeMark(root, named, { ...parts, signal });
  try {
    return { pool: await mountPool(root, named, parts, { signal }), mounted: true };
  } catch (error) {
    // What was known of the pool is known as before, also after an abort.
    await writeMark(root, before, { ...parts, signal: AbortSignal.timeout(30_000) });
    throw error;
  }
}

/** An image that holds no pool does not stay mounted. */
async function mountPool(root: string, image: string, parts: PoolParts, { signal }: SignalOption): Promise<Pool> {
  const { device, attached } = await mountImage(root, image, { signal });
  try {
    return Pool.open(root, parts);
  } catch (error) {
    await unmountFileSystem(root);
    if (attached) await detachLoop(device, { signal: AbortSignal.timeout(30_000) });
    throw error;
  }
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
  const mounts = await mountsOfDevice(deviceNumber((await stat(layout.root)).dev));
  const device = mounts.find(({ mountPoint }) => mountPoint === layout.root)?.source;
  const image = device === undefined ? undefined : await fileOfLoop(device, { signal });
  if (device === undefined || image === undefined)
    throw new PoolError('pool-image', `the pool in ${layout.root} does not lie in an image: there is nothing to close`);
  try {
    await unmountFileSystem(layout.root);
    await detachLoop(device, { file: image, signal });
  } catch (error) {
    const busy = hasCode(error, 'mount-busy') || hasCode(error, 'kernel-busy');
    const users = busy ? await attachedIn(layout) : '';
    throw new PoolError(busy ? 'pool-in-use' : 'pool-image', `close the pool in ${layout.root}${users}`, {
      cause: error,
    });
  }
  return image;
}

/** For a message: what of the pool is a device. */
async function attachedIn({ volumes }: PoolLayout): Promise<string> {
  const attached = (await loopsBelow(volumes)).map(({ path, file }) => {
    const [volume = '', , snapshot = ''] = relative(volumes, dirname(file)).split('/');
    return `${snapshot === '' ? `volume ${volume}` : snapshotName({ volume, snapshot })} is attached as ${path}`;
  });
  return attached.length === 0 ? '' : `: ${attached.join(', ')}`;
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
  if (image === undefined) await rm(path, { force: true });
  else await atomicWrite(path, Buffer.from(image), { rng, signal });
}

async function makeImageFile(path: string, sizeBytes: number): Promise<void> {
  try {
    const file = await open(path, 'wx', 0o600);
    try {
      await file.truncate(sizeBytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await syncDirectory(dirname(path));
  } catch (error) {
    if (isErrno(error, 'EEXIST')) throw new PoolError('pool-image', `${path} exists`);
    throw new PoolError('pool-io', `make ${path}`, { cause: error });
  }
}

/** With 512-byte sectors: mkfs.xfs on a plain file stands on these. */
async function mountImage(
  root: string,
  path: string,
  { signal }: SignalOption,
): Promise<{ readonly device: string; readonly attached: boolean }> {
  const { device, present } = await withPoolErrors(`attach ${path}`, async () => {
    const file = await realpath(path);
    const [present] = await loopsOf(file, { signal });
    return { device: present ?? (await attachLoop(file, { readOnly: false, sectorBytes: 512, signal })), present };
  });
  try {
    await mountFileSystem(device.path, root, { type: 'xfs', options: [], signal });
  } catch (error) {
    if (present === undefined) await detachLoop(device.path, { signal: AbortSignal.timeout(30_000) });
    throw new PoolError('pool-image', `mount ${path} on ${root}`, { cause: error });
  }
  return { device: device.path, attached: present === undefined };
}
