/**
 * New volumes: empty ones, and clones of snapshots. Each is made in `staging`, with its file system where one is asked
 * for, and appears whole by one rename.
 */
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { setAllocationHint } from '../kernel/file-flags.ts';
import { attachLoop, detachLoop } from '../kernel/loop-device.ts';
import { cloneFile } from '../kernel/reflink.ts';
import { KernelError } from '../kernel/sys.ts';
import { syncDirectory } from '../std/atomic-write.ts';
import { randomHex } from '../std/rng.ts';
import { holdSnapshot } from './hold-image.ts';
import { PoolError, withPoolErrors } from './pool-error.ts';
import { imageName, volumeRecordName } from './pool-layout.ts';
import { checkPoolName, snapshotName, type SnapshotName } from './pool-names.ts';
import type { SectorBytes, VolumeRecord } from './pool-records.ts';
import type { Pool, PoolSnapshot, PoolVolume } from './pool.ts';
import { readableVolume } from './readable.ts';
import { requireRoom } from './room.ts';
import { runMkfs, type FileSystemName } from './run-mkfs.ts';
import { Staged, syncFile } from './staging.ts';

/** Space is given to an image in pieces of this size, so that random writes do not scatter it (XFS). */
const allocationBytes = 128 * 1024;
/** Loop devices and most file systems end there. */
const sizeBytesMax = 2 ** 53 - 2 ** 20;

interface NewVolumeOptions {
  readonly onDropped: (snapshot: PoolSnapshot) => void;
  readonly signal: AbortSignal;
}

export interface CreateVolumeOptions extends NewVolumeOptions {
  readonly name: string;
  /** A multiple of 4096. */
  readonly sizeBytes: number;
  readonly sectorBytes: SectorBytes;
  readonly mkfs: FileSystemName | undefined;
}

/** @throws {PoolError} `pool-volume-exists`, `pool-size`, `pool-name`, `pool-reserve`, `pool-no-space`, `pool-mkfs` */
export async function createVolume(pool: Pool, options: CreateVolumeOptions): Promise<PoolVolume> {
  const { name, sizeBytes, sectorBytes, mkfs, onDropped, signal } = options;
  checkVolumeSize(sizeBytes);
  return await pool.change(
    async () => {
      refuseTaken(pool, name);
      await requireRoom(pool, { doing: `make volume ${name}`, onDropped, signal });
      await using staged = await Staged.make(pool);
      const live = await makeLive(staged);
      await withPoolErrors(`make the image of ${name}`, async () => await makeImage(join(live, imageName), sizeBytes));
      if (mkfs !== undefined) await makeFileSystem(join(live, imageName), { mkfs, sectorBytes, signal });
      await publishVolume(pool, staged, { name, record: newRecord(pool, { sectorBytes }), signal });
      return pool.volume(name);
    },
    { signal },
  );
}

export interface CloneVolumeOptions extends NewVolumeOptions {
  readonly from: SnapshotName;
  readonly name: string;
}

/** A volume that begins as the snapshot was, sharing all its blocks. @throws {PoolError} as `createVolume` */
export async function cloneVolume(
  pool: Pool,
  { from, name, onDropped, signal }: CloneVolumeOptions,
): Promise<PoolVolume> {
  return await pool.change(
    async () => {
      const source = pool.snapshot(from.volume, from.snapshot);
      using _held = await holdSnapshot(pool, source, { signal });
      refuseTaken(pool, name);
      await requireRoom(pool, { doing: `clone ${snapshotName(from)} as ${name}`, onDropped, signal });
      await using staged = await Staged.make(pool);
      await makeLive(staged);
      await cloneImage(source.image, liveImage(staged));
      const family = readableVolume(pool, from.volume)?.record.family ?? source.record.volumeId;
      const record = newRecord(pool, { sectorBytes: source.record.sectorBytes, clonedFrom: originOf(source), family });
      await publishVolume(pool, staged, { name, record, signal });
      return pool.volume(name);
    },
    { signal },
  );
}

/** Whether a volume can have this size. @throws {PoolError} `pool-size` */
export function checkVolumeSize(sizeBytes: number): void {
  if (sizeBytes > 0 && sizeBytes % 4096 === 0 && sizeBytes <= sizeBytesMax) return;
  throw new PoolError('pool-size', `a volume cannot have ${sizeBytes} bytes: it must be a multiple of 4096, and not 0`);
}

/** The same for a volume and all that was cloned of it, and of those. */
export function familyOf({ record }: PoolVolume): string {
  return record.family ?? record.id;
}

function originOf({ volume, snapshot, record }: PoolSnapshot): NonNullable<VolumeRecord['clonedFrom']> {
  return { volume, volumeId: record.volumeId, snapshot, snapshotId: record.id };
}

export function newRecord(
  pool: Pool,
  rest: Pick<VolumeRecord, 'sectorBytes' | 'clonedFrom' | 'family' | 'restoredFrom'>,
): VolumeRecord {
  const created = new Date(pool.clock.nowMs()).toISOString();
  const { clonedFrom } = rest;
  const parent = clonedFrom === undefined ? {} : { parent: clonedFrom.snapshotId };
  return { version: 1, id: randomHex(pool.rng, 16), created, ...parent, ...rest };
}

function liveImage(staged: Staged): string {
  return join(staged.path, 'live', imageName);
}

async function makeLive(staged: Staged): Promise<string> {
  const live = join(staged.path, 'live');
  await mkdir(live, { mode: 0o700 });
  await mkdir(join(staged.path, 'snapshots'), { mode: 0o700 });
  return live;
}

/** An image without data. */
async function makeImage(path: string, sizeBytes: number): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    try {
      setAllocationHint(file.fd, allocationBytes);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error; // A hint: only XFS takes it.
    }
    await file.truncate(sizeBytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** A new image with the same blocks, durable when resolved. */
export async function cloneImage(from: string, to: string): Promise<void> {
  await withPoolErrors(`clone ${from}`, async () => {
    await using files = new AsyncDisposableStack();
    const source = await open(from, 'r');
    files.defer(async () => await source.close());
    const target = await open(to, 'wx', 0o600);
    files.defer(async () => await target.close());
    await cloneFile(source.fd, target.fd);
    await target.sync();
  });
}

/** Makes what is in `staged` a volume of this name, durably. */
export async function publishVolume(
  pool: Pool,
  staged: Staged,
  { name, record, signal }: { readonly name: string; readonly record: VolumeRecord; readonly signal: AbortSignal },
): Promise<void> {
  await syncFile(liveImage(staged));
  await staged.writeRecord(pool, { name: join('live', volumeRecordName), record, signal });
  await syncDirectory(join(staged.path, 'live'));
  if (await staged.place(pool.layout.volume(name))) return;
  throw new PoolError('pool-volume-exists', `there is a volume ${name} already`);
}

export function refuseTaken(pool: Pool, name: string): void {
  checkPoolName(name, 'volume');
  if (pool.findVolume(name) === undefined) return;
  throw new PoolError('pool-volume-exists', `there is a volume ${name} already`);
}

async function makeFileSystem(
  image: string,
  {
    mkfs,
    sectorBytes,
    signal,
  }: { readonly mkfs: FileSystemName; readonly sectorBytes: number; readonly signal: AbortSignal },
): Promise<void> {
  const device = await withPoolErrors(
    'attach the new volume',
    async () => await attachLoop(image, { readOnly: false, sectorBytes, signal }),
  );
  try {
    await runMkfs(mkfs, [device.path], { signal });
  } finally {
    // Also after an abort: a device that stays would hold the image.
    await detachLoop(device.path, { signal: AbortSignal.timeout(30_000) });
  }
}
