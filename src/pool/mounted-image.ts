/** The image file of a pool on its folder: attached as a device, and mounted. */
import { realpath } from 'node:fs/promises';
import { attachLoop, detachLoop, loopsOf, type LoopDevice } from '../kernel/loop-device.ts';
import { mountFileSystem, unmountFileSystem } from '../kernel/mount.ts';
import { mountsOfDevice } from '../kernel/mounts.ts';
import type { OnFailure } from './all-or-nothing.ts';
import { PoolError, withPoolErrors } from './pool-error.ts';

/**
 * With 512-byte sectors: mkfs.xfs on a plain file stands on these. A device that the image has already is taken, and stays.
 * @throws {PoolError} `pool-image`
 */
export async function mountImage(
  root: string,
  path: string,
  { onFailure, signal }: { readonly onFailure: OnFailure; readonly signal: AbortSignal },
): Promise<void> {
  const device = await withPoolErrors(`attach ${path}`, async () => {
    const file = await realpath(path);
    const [present] = await loopsOf(file, { signal });
    if (present !== undefined) return present;
    const made = await attachLoop(file, { readOnly: false, sectorBytes: 512, signal });
    onFailure(async () => await detachLoop(made.path, { file, signal: AbortSignal.timeout(30_000) }));
    return made;
  });
  // A program that was ended may have mounted it before.
  onFailure(async () => {
    if (await isMounted(device, root)) await unmountFileSystem(root);
  });
  try {
    await mountFileSystem(device.path, root, { type: 'xfs', options: [], signal });
  } catch (error) {
    signal.throwIfAborted();
    throw new PoolError('pool-image', `mount ${path} on ${root}`, { cause: error });
  }
}

async function isMounted({ deviceNumber }: LoopDevice, root: string): Promise<boolean> {
  const place = await realpath(root);
  return (await mountsOfDevice(deviceNumber)).some(({ reachablePath }) => reachablePath === place);
}
