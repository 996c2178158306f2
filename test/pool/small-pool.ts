/** A pool on a file system of its own, for tests of what happens around it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { mountFileSystem, unmountFileSystem } from '../../src/kernel/mount.ts';
import { attachVolume, detachVolume } from '../../src/pool/attach.ts';
import { createPool } from '../../src/pool/create-pool.ts';
import { createSnapshots, type CreateSnapshotsOptions } from '../../src/pool/create-snapshots.ts';
import { createVolume, type CreateVolumeOptions } from '../../src/pool/create-volume.ts';
import type { Pool, PoolSnapshot } from '../../src/pool/pool.ts';
import { systemClock } from '../../src/std/clock.ts';
import { systemRng } from '../../src/std/rng.ts';
import { mountedFileSystem } from '../support/file-system.ts';
import { temporaryFolder } from '../support/temporary.ts';

const mib = 1024 * 1024;
/** A hang fails its test. */
export const signal: AbortSignal = AbortSignal.timeout(300_000);
const onDropped = (): void => undefined;

export interface SmallPool extends AsyncDisposable {
  readonly pool: Pool;
  /** Of the file system that the pool is alone on. */
  readonly path: string;
}

export async function smallPool(sizeBytes: number = 512 * mib): Promise<SmallPool> {
  await using stack = new AsyncDisposableStack();
  const { path } = stack.use(await mountedFileSystem('xfs', sizeBytes));
  const pool = await createPool(join(path, 'pool'), { clock: systemClock, rng: systemRng }, { signal });
  const owned = stack.move();
  return { pool, path, [Symbol.asyncDispose]: async () => await owned.disposeAsync() };
}

/** 16 MiB without a file system unless told. */
export async function makeVolume(
  pool: Pool,
  name: string,
  options: Partial<CreateVolumeOptions> = {},
): Promise<string> {
  const shape = { sizeBytes: 16 * mib, sectorBytes: 4096, mkfs: undefined, onDropped, signal } as const;
  return (await createVolume(pool, { ...shape, ...options, name })).image;
}

/** `VOLUME@SNAPSHOT`, several as a group. */
export async function takeSnapshots(
  pool: Pool,
  names: readonly string[],
  options: Partial<CreateSnapshotsOptions> = {},
): Promise<readonly PoolSnapshot[]> {
  const snapshots = names.map((name) => {
    const [volume = '', snapshot = ''] = name.split('@');
    return { volume, snapshot };
  });
  const defaults = { madeBy: 'user', needs: [], freezeBoundMs: 20_000, onDropped, signal } as const;
  return (await createSnapshots(pool, { ...defaults, ...options, snapshots })).snapshots;
}

/** Writes and syncs. */
export async function writeAt(path: string, offset: number, bytes: Uint8Array): Promise<void> {
  await using file = await open(path, 'r+');
  await file.write(bytes, 0, bytes.length, offset);
  await file.sync();
}

export async function readAt(path: string, offset: number, lengthBytes: number): Promise<Buffer> {
  await using file = await open(path, 'r');
  const { buffer, bytesRead } = await file.read(Buffer.alloc(lengthBytes), 0, lengthBytes, offset);
  return buffer.subarray(0, bytesRead);
}

export interface MountedVolume extends AsyncDisposable {
  readonly mountPoint: string;
  readonly device: string;
}

/** Attaches a volume and mounts its file system. */
export async function mountedVolume(pool: Pool, name: string, type: string): Promise<MountedVolume> {
  await using stack = new AsyncDisposableStack();
  const { path: mountPoint } = stack.use(await temporaryFolder('inside'));
  const { device } = await attachVolume(pool, name, { readOnly: false, signal });
  stack.defer(async () => void (await detachVolume(pool, name, { signal })));
  await mountFileSystem(device.path, mountPoint, { type, options: [], signal });
  stack.defer(async () => await unmountFileSystem(mountPoint));
  const owned = stack.move();
  return { mountPoint, device: device.path, [Symbol.asyncDispose]: async () => await owned.disposeAsync() };
}

export interface Rival extends AsyncDisposable {
  readonly process: ChildProcess;
  /** Its next line. */
  readonly next: () => Promise<string>;
  readonly kill: () => Promise<void>;
}

/** Another process that does something with the pool: see `rival.ts`. */
export function startRival(pool: Pool, ...args: readonly string[]): Rival {
  const program = [join(import.meta.dirname, 'rival.ts'), pool.layout.root, ...args];
  const child = spawn(process.execPath, program, { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.on('error', () => undefined);
  const closed = once(child, 'close');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await closed;
  };
  const next = async (): Promise<string> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`the rival ${args.join(' ')} has ended`);
    return value;
  };
  return { process: child, next, kill, [Symbol.asyncDispose]: kill };
}
