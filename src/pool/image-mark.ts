/**
 * What lies under the mount of a pool in an image: the path of that image, so that `pool open` needs the folder alone.
 * Written only by who keeps others away meanwhile (`while-alone.ts`).
 */
import { readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { atomicWrite, isErrno, isTemporaryOf } from '../std/atomic-write.ts';
import { PoolError, withPoolErrors } from './pool-error.ts';
import { imageMarkName } from './pool-layout.ts';
import type { PoolParts } from './pool.ts';

/** Whoever was killed while he wrote the mark has left its beginning under another name. */
export function isOfMark(name: string): boolean {
  return name === imageMarkName || isTemporaryOf(name, imageMarkName);
}

/** @throws {PoolError} `pool-image` */
export async function readMark(root: string): Promise<string | undefined> {
  try {
    return await readFile(join(root, imageMarkName), 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw new PoolError('pool-image', `read ${join(root, imageMarkName)}`, { cause: error });
  }
}

/** Durably; without an image there is none afterwards. @throws {PoolError} */
export async function writeMark(
  root: string,
  image: string | undefined,
  { rng, signal }: PoolParts & { readonly signal: AbortSignal },
): Promise<void> {
  const path = join(root, imageMarkName);
  await withPoolErrors(`write ${path}`, async () => {
    for (const name of await readdir(root)) if (isTemporaryOf(name, imageMarkName)) await rm(join(root, name));
    if (image === undefined) await rm(path, { force: true });
    else await atomicWrite(path, Buffer.from(image), { rng, signal });
  });
}

/** Nothing is written where nothing was: the folder may be one that cannot be written to. */
export async function takeBackMark(root: string, before: string | undefined, parts: PoolParts): Promise<void> {
  if ((await readMark(root)) !== before)
    await writeMark(root, before, { ...parts, signal: AbortSignal.timeout(30_000) });
}
