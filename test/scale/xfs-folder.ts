/** A file system that holds files of 16 TiB: XFS on a loop device over a sparse file. Needs root. */
import { spawnSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { attachLoop, loopDevicesMissing, run } from '../kernel/loop-device.ts';

const gib = 2 ** 30;

/** Why there can be none here, or false. */
export function xfsMissing(): string | false {
  const missing = loopDevicesMissing();
  if (missing !== false) return missing;
  return spawnSync('mkfs.xfs', ['-V']).status === 0 ? false : 'needs mkfs.xfs';
}

export interface XfsFolder extends AsyncDisposable {
  readonly path: string;
}

/** Mounts a new file system. Disposing unmounts and removes it. */
export async function mountXfs(): Promise<XfsFolder> {
  await using opening = new AsyncDisposableStack();
  const loop = opening.use(await attachLoop(32 * gib));
  run('mkfs.xfs', '-q', loop.device);
  const path = join(loop.folder, 'mounted');
  await mkdir(path);
  run('mount', loop.device, path);
  opening.defer(() => void run('umount', path));
  const stack = opening.move();
  return { path, [Symbol.asyncDispose]: async () => await stack.disposeAsync() };
}
