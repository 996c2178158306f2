import { spawnSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { attachLoop, loopDevicesMissing, run } from '../kernel/loop-device.ts';

export type FileSystemKind = 'xfs' | 'btrfs' | 'ext4';

export interface MountedFileSystem extends AsyncDisposable {
  /** Where it is mounted: an empty folder, but for ext4's `lost+found`. */
  readonly path: string;
  /** The loop device that it is on. */
  readonly device: string;
}

/** Smallest images that the programs take (`mkfs.xfs` 300 MiB, `mkfs.btrfs` 109 MiB), rounded up. They are sparse. */
export const smallestBytes: Readonly<Record<FileSystemKind, number>> = {
  xfs: 320 * 2 ** 20,
  btrfs: 160 * 2 ** 20,
  ext4: 16 * 2 ** 20,
};

const usualOptions: Readonly<Record<FileSystemKind, readonly string[]>> = {
  xfs: ['-m', 'reflink=1,rmapbt=0'],
  btrfs: [],
  ext4: [],
};

/** Why these file systems cannot be made here, or false. Under CI they have to be there: never a reason to skip. */
export function fileSystemsMissing(...kinds: readonly FileSystemKind[]): string | false {
  if (process.env['CI'] === 'true') return false;
  const missing = loopDevicesMissing();
  if (missing !== false) return missing;
  const without = kinds.find((kind) => spawnSync(`mkfs.${kind}`, ['-V']).error !== undefined);
  return without === undefined ? false : `needs mkfs.${without}`;
}

/** Makes a file system on a loop device and mounts it. Disposing unmounts it and removes everything. */
export async function mountedFileSystem(
  kind: FileSystemKind,
  sizeBytes: number,
  {
    mountOptions,
    makeOptions = usualOptions[kind],
  }: { readonly mountOptions?: string; readonly makeOptions?: readonly string[] } = {},
): Promise<MountedFileSystem> {
  await using stack = new AsyncDisposableStack();
  const loop = stack.use(await attachLoop(Math.max(sizeBytes, smallestBytes[kind])));
  run(`mkfs.${kind}`, '-q', ...makeOptions, loop.device);
  const path = join(loop.folder, 'mounted');
  await mkdir(path);
  run('mount', '-t', kind, ...(mountOptions === undefined ? [] : ['-o', mountOptions]), loop.device, path);
  stack.defer(() => void run('umount', path));
  const owned = stack.move();
  return { path, device: loop.device, [Symbol.asyncDispose]: async () => await owned.disposeAsync() };
}
