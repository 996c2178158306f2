/**
 * Pools on hosts whose file system cannot share blocks: an XFS in an image file, mounted on the pool's folder. What lies
 * under the mount remembers the image, so that `open` needs the folder alone after a reboot. The image is never made
 * over: a file that is there already is refused.
 */
import { open, readdir, realpath, stat, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { isErrno, makeDirectories, syncDirectory } from '../std/atomic-write.ts';
import { allOrNothing } from './all-or-nothing.ts';
import { createPool } from './create-pool.ts';
import { isOfMark, readMark, takeBackMark, writeMark } from './image-mark.ts';
import { mountImage } from './mounted-image.ts';
import { closedText, PoolError, withPoolErrors } from './pool-error.ts';
import { poolRecordName } from './pool-layout.ts';
import { Pool, type PoolParts } from './pool.ts';
import { xfsOptions } from './reverse-map.ts';
import { runMkfs } from './run-mkfs.ts';
import { whileAlone } from './while-alone.ts';

/** mkfs.xfs makes nothing smaller. */
const imageBytesMin = 300 * 1024 * 1024;

interface SignalOption {
  readonly signal: AbortSignal;
}

/** @throws {PoolError} `pool-image`, `pool-mkfs`, `pool-size`, `pool-busy`, and what `createPool` throws */
export async function createImagePool(
  path: string,
  parts: PoolParts,
  { image, sizeBytes, signal }: SignalOption & { readonly image: string; readonly sizeBytes: number },
): Promise<Pool> {
  const [root, file] = [resolve(path), resolve(image)];
  if (sizeBytes < imageBytesMin) throw new PoolError('pool-size', `the image of a pool needs 300 MiB at least`);
  if (sizeBytes % 4096 !== 0) throw new PoolError('pool-size', `${sizeBytes} is not a multiple of 4096`);
  await withPoolErrors(`make ${root}`, async () => await makeDirectories(root, { mode: 0o700 }));
  return await whileAlone(root, { ...parts, signal }, async () => await make(root, parts, { file, sizeBytes, signal }));
}

async function make(
  root: string,
  parts: PoolParts,
  { file, sizeBytes, signal }: SignalOption & { readonly file: string; readonly sizeBytes: number },
): Promise<Pool> {
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
 * @returns `mounted`: false when it was open already, also when another has opened it at the same moment
 * @throws {PoolError} `pool-missing`, `pool-foreign`, `pool-image`, `pool-busy`
 */
export async function openImagePool(
  path: string,
  parts: PoolParts,
  { image, signal }: SignalOption & { readonly image: string | undefined },
): Promise<{ readonly pool: Pool; readonly mounted: boolean }> {
  const root = resolve(path);
  if (await isOpen(root)) return { pool: Pool.open(root, parts), mounted: false };
  if (image !== undefined) {
    await requireImage(root, resolve(image));
    await withPoolErrors(`make ${root}`, async () => await makeDirectories(root, { mode: 0o700 }));
  } else if ((await stat(root).catch(() => undefined)) === undefined) {
    throw noImageKnown(root);
  }
  return await whileAlone(root, { ...parts, signal }, async () => {
    // Another has opened it while this one waited.
    if (await isOpen(root)) return { pool: Pool.open(root, parts), mounted: false };
    return { pool: await mountPool(root, parts, { image, signal }), mounted: true };
  });
}

async function mountPool(
  root: string,
  parts: PoolParts,
  { image, signal }: SignalOption & { readonly image: string | undefined },
): Promise<Pool> {
  const before = await readMark(root);
  const named = image === undefined ? before : resolve(image);
  if (named === undefined) throw noImageKnown(root);
  await requireImage(root, named);
  const foreign = (await readdir(root)).find((name) => !isOfMark(name));
  if (foreign !== undefined) throw new PoolError('pool-foreign', `${root} holds something else: ${foreign}`);
  return await allOrNothing(async (onFailure) => {
    // What was known of the pool is known as before, also after an abort.
    onFailure(async () => await takeBackMark(root, before, parts));
    if (before !== named) await writeMark(root, named, { ...parts, signal });
    await mountImage(root, named, { onFailure, signal });
    return Pool.open(root, parts);
  });
}

async function isOpen(root: string): Promise<boolean> {
  return (await stat(join(root, poolRecordName)).catch(() => undefined)) !== undefined;
}

function noImageKnown(root: string): PoolError {
  return new PoolError('pool-missing', `there is no pool in ${root}, and no image is known for it`);
}

async function requireImage(root: string, image: string): Promise<void> {
  if ((await stat(image).catch(() => undefined)) !== undefined) return;
  throw new PoolError('pool-image', `the image ${image} of the pool in ${root} is gone`);
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
