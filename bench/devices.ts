/** Block devices and an XFS of the workspace, for what needs them: only root has them, and the results say so otherwise. */
import { spawnSync } from 'node:child_process';
import { mkdir, truncate, writeFile } from 'node:fs/promises';

import type { Workspace } from './workspace.ts';

/** Why there are none here, or `undefined`. */
export function devicesMissing(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  return spawnSync('losetup', ['-f']).status === 0 ? undefined : 'needs loop devices';
}

export interface Device extends AsyncDisposable {
  readonly path: string;
}

/** A loop device with direct I/O on a new sparse file of the workspace. Disposing detaches it and removes the file. */
export async function attachDevice(workspace: Workspace, name: string, sizeBytes: number): Promise<Device> {
  const file = workspace.path(name);
  await writeFile(file, '');
  await truncate(file, sizeBytes);
  const path = run('losetup', '--direct-io=on', '-f', '--show', file).trim();
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      run('losetup', '-d', path);
      await workspace.remove(name);
    },
  };
}

/** Why no XFS can be mounted here, or `undefined`. */
export function xfsMissing(): string | undefined {
  const missing = devicesMissing();
  if (missing !== undefined) return missing;
  return spawnSync('mkfs.xfs', ['-V']).status === 0 ? undefined : 'needs mkfs.xfs';
}

/** A small XFS, which takes sparse files of any size: ext4 ends 4 KiB short of 16 TiB. */
export async function mountXfs(workspace: Workspace): Promise<Device> {
  await using made = new AsyncDisposableStack();
  const device = made.use(await attachDevice(workspace, 'xfs.img', 8 * 2 ** 30));
  run('mkfs.xfs', '-q', device.path);
  const path = workspace.path('xfs');
  await mkdir(path);
  run('mount', device.path, path);
  made.defer(() => void run('umount', path));
  const stack = made.move();
  return { path, [Symbol.asyncDispose]: async () => await stack.disposeAsync() };
}

function run(program: string, ...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`);
  return stdout;
}
