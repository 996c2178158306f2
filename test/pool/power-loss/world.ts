/**
 * A pool whose disk is a file: its file system lies in an image on an outer XFS, behind a loop device with direct I/O. A
 * reflink of the image is the disk at one instant: it has what reached the device and nothing of what the pool's file system kept in
 * memory. What it cannot show is a disk that loses what it was given and not told to flush: on that the pool relies on its
 * file system, which flushes for every fsync.
 */
import { mkdir, open, truncate, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { attachLoop, detachLoop } from '../../../src/kernel/loop-device.ts';
import { mountFileSystem, unmountFileSystem } from '../../../src/kernel/mount.ts';
import { cloneFile } from '../../../src/kernel/reflink.ts';
import { attachVolume, detachVolume } from '../../../src/pool/attach.ts';
import { createPool } from '../../../src/pool/create-pool.ts';
import { createVolume } from '../../../src/pool/create-volume.ts';
import type { Pool } from '../../../src/pool/pool.ts';
import { systemClock } from '../../../src/std/clock.ts';
import { hasCode } from '../../../src/std/dray-error.ts';
import { systemRng } from '../../../src/std/rng.ts';
import { run } from '../../kernel/loop-device.ts';
import { mountedFileSystem } from '../../support/file-system.ts';
import type { PoolState } from './model.ts';
import { markerBytes, markerName, mountedName, rawName } from './operations.ts';

const mib = 1024 * 1024;
const diskBytes = 512 * mib;
const { signal } = new AbortController();
const parts = { clock: systemClock, rng: systemRng };

export type PoolDisk = 'xfs' | 'btrfs';

export interface PoolWorld extends AsyncDisposable {
  readonly kind: PoolDisk;
  readonly folder: string;
  readonly root: string;
  readonly pool: Pool;
  readonly mountPoint: string;
  readonly device: string;
  /** What the pool must hold; each point leaves it as it is then. */
  state: PoolState;
  /** How long operations of a kind took, to aim at all of their length. */
  readonly durationsMs: Map<string, number>;
  /** Digests of snapshots whose file system was looked into, with the marker found there. */
  readonly markers: Map<string, string>;
  readonly copyDisk: () => Promise<string>;
}

export async function makePoolWorld(kind: PoolDisk): Promise<PoolWorld> {
  await using stack = new AsyncDisposableStack();
  const outer = stack.use(await mountedFileSystem('xfs', 4096 * mib));
  const disk = join(outer.path, 'disk');
  await writeFile(disk, '');
  await truncate(disk, diskBytes);
  const folder = join(outer.path, 'work');
  const [root, mountPoint] = [join(folder, 'pool'), join(folder, 'inside')];
  for (const path of [folder, root, mountPoint]) await mkdir(path);
  stack.use(await mountedDisk(disk, root, { kind, mkfs: true }));
  const pool = await createPool(root, parts, { signal });
  const shape = { sectorBytes: 4096, onDropped: () => undefined, signal } as const;
  await createVolume(pool, { ...shape, name: mountedName, sizeBytes: 16 * mib, mkfs: 'ext4' });
  await createVolume(pool, { ...shape, name: rawName, sizeBytes: 4 * mib, mkfs: undefined });
  for (const name of [mountedName, rawName]) {
    await attachVolume(pool, name, { readOnly: false, signal });
    stack.defer(async () => void (await detachVolume(pool, name, { signal })));
  }
  const devices = [];
  for (const name of [mountedName, rawName]) {
    devices.push((await attachVolume(pool, name, { readOnly: false, signal })).device.path);
  }
  await mountFileSystem(devices[0]!, mountPoint, { type: 'ext4', options: [], signal });
  stack.defer(async () => await unmountPatiently(mountPoint));
  const marker = 'f'.repeat(markerBytes);
  await writeSynced(join(mountPoint, markerName), marker);
  const state: PoolState = new Map([
    [mountedName, { digest: null, sizeBytes: 16 * mib, needs: [], marker }],
    [rawName, { digest: null, sizeBytes: 4 * mib, needs: [] }],
  ]);
  const copyDisk = async (): Promise<string> => await copyOf(disk, join(outer.path, 'copy'));
  const owned = stack.move();
  const rest = { state, durationsMs: new Map(), markers: new Map(), copyDisk };
  const dispose = async (): Promise<void> => await owned.disposeAsync();
  return { kind, folder, root, pool, mountPoint, device: devices[1]!, ...rest, [Symbol.asyncDispose]: dispose };
}

/** Attaches and mounts a disk of a pool, its original or a copy. */
export async function mountedDisk(
  disk: string,
  root: string,
  { kind, mkfs }: { readonly kind: PoolDisk; readonly mkfs: boolean },
): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const device = await attachLoop(disk, { readOnly: false, sectorBytes: 4096, signal });
  stack.defer(async () => await detachLoop(device.path, { signal }));
  if (mkfs && !device.directIo) throw new Error('the disk is not behind direct I/O: a copy of it would prove nothing');
  if (mkfs) run(`mkfs.${kind}`, '-q', device.path);
  // A copy has the identity of the original, which is mounted. XFS is told; btrfs gives it another for the time (Linux 6.7).
  await mountFileSystem(device.path, root, { type: kind, options: kind === 'xfs' ? ['nouuid'] : [], signal });
  stack.defer(async () => await unmountPatiently(root));
  const owned = stack.move();
  return { [Symbol.asyncDispose]: async () => await owned.disposeAsync() };
}

/** Others look at every new mount and device for a moment. */
async function unmountPatiently(path: string): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await unmountFileSystem(path);
    } catch (error) {
      if (tries === 50 || !hasCode(error, 'mount-busy')) throw error;
      await sleep(50);
    }
  }
}

async function copyOf(disk: string, path: string): Promise<string> {
  await unlink(path).catch(() => undefined);
  await using from = await open(disk, 'r');
  await using to = await open(path, 'wx');
  await cloneFile(from.fd, to.fd);
  return path;
}

async function writeSynced(path: string, text: string): Promise<void> {
  await using file = await open(path, 'w');
  await file.writeFile(text);
  await file.sync();
}
