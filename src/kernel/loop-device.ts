/**
 * Image files as block devices. A loop device outlives whoever attached it, and its number is anybody's as soon as it is
 * detached: so what a device belongs to is asked of the kernel (device and inode of its file), never of a name, and a
 * device that is mounted, claimed or open is not detached. LOOP_CLR_FD alone would answer ok and detach it later, at the
 * last close. Numbers and shapes from linux/loop.h.
 */
import { execFile } from 'node:child_process';
import { constants, type BigIntStats } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import { promisify } from 'node:util';
import { isErrno } from '../std/atomic-write.ts';
import { systemClock, type Clock } from '../std/clock.ts';
import { deviceBlockBytes, deviceNumber, deviceSizeBytes } from './block-device.ts';
import { attachedLoopNames, fileNameOfLoop, isLoopAttached } from './loop-files.ts';
import { ioctl, ioctlAsync, KernelError } from './sys.ts';

const LOOP_CTL_GET_FREE = 0x4c82;
const LOOP_CONFIGURE = 0x4c0a;
const LOOP_CLR_FD = 0x4c01;
const LOOP_SET_STATUS64 = 0x4c04;
const LOOP_GET_STATUS64 = 0x4c05;
const LOOP_SET_CAPACITY = 0x4c07;
const LO_FLAGS_READ_ONLY = 1;
const LO_FLAGS_AUTOCLEAR = 4;
const LO_FLAGS_DIRECT_IO = 16;

/** `struct loop_info64`, and where it lies in `struct loop_config`. */
const infoBytes = 232;
const infoAt = 8;
const configBytes = 304;
const flagsAt = 52;
const nameAt = 56;
const nameBytesMax = 63;

/** Others ask for a free number at the same time; who comes second tries again. */
const attachTriesMax = 100;
/** udev and others open a device for a moment to look at it: they are waited for. */
const detachTriesMax = 20;
const detachPauseMs = 25;

export interface LoopDevice {
  /** `/dev/loopN` */
  readonly path: string;
  readonly readOnly: boolean;
  /** Past the page cache of the file system below. Not all that is asked for is given. */
  readonly directIo: boolean;
  readonly sectorBytes: number;
  readonly sizeBytes: number;
  /** `major:minor` as in /proc/self/mountinfo. */
  readonly deviceNumber: string;
}

/**
 * Attaches a file, with direct I/O where the kernel can do it at this sector size; `directIo` tells. The device is not
 * scanned for partitions, stays until it is detached, and is checked to be the file's. A file may have several devices:
 * who wants one looks with `loopsOf` first, under a lock of his own. An abort leaves nothing attached.
 * @throws {KernelError} `kernel-unsupported` for a sector size that the kernel does not offer (Linux 5.8 at least),
 *   `kernel-busy` when others take every number first; the system's error when the file cannot be opened
 */
export async function attachLoop(
  file: string,
  options: { readonly readOnly: boolean; readonly sectorBytes: number; readonly signal: AbortSignal },
): Promise<LoopDevice> {
  const { readOnly, signal } = options;
  const flags = readOnly ? constants.O_RDONLY : constants.O_RDWR;
  await using backing = await open(file, flags);
  for (let tries = 0; tries < attachTriesMax; tries += 1) {
    signal.throwIfAborted();
    const path = await freeLoop();
    await using device = await openUnlessGoing(path, flags);
    if (device === undefined) continue;
    try {
      await ioctlAsync(device.fd, LOOP_CONFIGURE, loopConfig(file, backing.fd, options));
    } catch (error) {
      if (error instanceof KernelError && error.errno === 'EBUSY') continue;
      throw error;
    }
    const info = loopInfo(device);
    if (info === undefined || !(await isBackedBy(info, backing))) {
      throw new KernelError(`${path} is not the device of ${file} that it was made`, 'EBADFD');
    }
    return await describe(path, device, info);
  }
  throw new KernelError(`attach ${file}`, 'EBUSY');
}

/**
 * Writes out what the device's cache holds, then detaches it; resolves when it is gone. A device that is attached to
 * nothing is left so. With `file`, a device of any other file is left alone: its number was given to somebody else.
 * @throws {KernelError} `kernel-busy` when it is mounted in any namespace, claimed, still open after half a second, or not
 *   `file`'s; it is as before then
 */
export async function detachLoop(
  path: string,
  {
    signal,
    file,
    clock = systemClock,
  }: { readonly signal: AbortSignal; readonly file?: string; readonly clock?: Clock },
): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    signal.throwIfAborted();
    const before = await clearLoop(path, file);
    if (before === 'none') return;
    if (before !== 'open') {
      await untilGone(path, before, { clock, signal });
      return;
    }
    if (tries === detachTriesMax) throw new KernelError(`detach ${path}, which is open`, 'EBUSY');
    await clock.sleep(detachPauseMs, { signal });
  }
}

/** The devices of this very file, whatever name it had when they were attached. Reading needs the right to open them. */
export async function loopsOf(
  file: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<readonly LoopDevice[]> {
  // Held open: nothing else is given its inode meanwhile.
  await using backing = await open(file, constants.O_RDONLY);
  const wanted = await backing.stat({ bigint: true });
  const loops = await devicesWhere((info) => isOf(info, wanted), { signal });
  return loops.map(({ device }) => device);
}

/** Says which devices are of a file. */
export type DevicesOf = (file: string) => Promise<readonly LoopDevice[]>;

/** As `loopsOf`, for whoever asks of many files: each device is looked at once, now. */
export async function attachedLoops({ signal }: { readonly signal: AbortSignal }): Promise<DevicesOf> {
  const loops = await devicesWhere(() => true, { signal });
  return async (file) => {
    const wanted = await stat(file, { bigint: true });
    return loops.filter(({ info }) => isOf(info, wanted)).map(({ device }) => device);
  };
}

interface Found {
  readonly device: LoopDevice;
  readonly info: Buffer;
}

async function devicesWhere(
  isWanted: (info: Buffer) => boolean,
  { signal }: { readonly signal: AbortSignal },
): Promise<readonly Found[]> {
  signal.throwIfAborted();
  // All at once: a machine may have dozens of others.
  const devices = await Promise.all((await attachedLoopNames()).map(async (name) => await deviceWhere(name, isWanted)));
  return devices.filter((device) => device !== undefined);
}

async function deviceWhere(name: string, isWanted: (info: Buffer) => boolean): Promise<Found | undefined> {
  const path = `/dev/${name}`;
  await makeNode(name);
  await using device = await openUnlessGoing(path);
  const info = device && loopInfo(device);
  return info && isWanted(info) ? { device: await describe(path, device, info), info } : undefined;
}

/** The file that a loop device is of; undefined for other devices, and for a file that has lost its name. */
export async function fileOfLoop(
  path: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<string | undefined> {
  const file = await fileNameOfLoop(basename(path));
  if (file === undefined || (await stat(file).catch(() => undefined)) === undefined) return undefined;
  const devices = await loopsOf(file, { signal });
  return devices.some((device) => device.path === path) ? file : undefined;
}

/** The devices of files below a folder, by the names that these have: for messages. @param folder absolute, without links */
export async function loopsBelow(folder: string): Promise<readonly { readonly path: string; readonly file: string }[]> {
  const names = await attachedLoopNames();
  const loops = await Promise.all(
    names.map(async (name) => ({ path: `/dev/${name}`, file: await fileNameOfLoop(name) })),
  );
  return loops.flatMap(({ path, file }) => (file?.startsWith(`${folder}/`) === true ? [{ path, file }] : []));
}

/** Gives the device the size that its file has now. @throws {KernelError} */
export async function refreshLoop(path: string): Promise<void> {
  await using device = await open(path, constants.O_RDONLY);
  await ioctlAsync(device.fd, LOOP_SET_CAPACITY, null);
}

/** What was written through the device's page cache reaches its file, and with that the disk. Throws the system's error. */
export async function flushDevice(path: string): Promise<void> {
  await using device = await open(path, constants.O_RDONLY);
  await device.sync();
}

function loopConfig(
  file: string,
  fd: number,
  { readOnly, sectorBytes }: { readonly readOnly: boolean; readonly sectorBytes: number },
): Buffer {
  const config = Buffer.alloc(configBytes);
  config.writeUInt32LE(fd, 0);
  config.writeUInt32LE(sectorBytes, 4);
  config.writeUInt32LE(LO_FLAGS_DIRECT_IO | (readOnly ? LO_FLAGS_READ_ONLY : 0), infoAt + flagsAt);
  config.write(file, infoAt + nameAt, nameBytesMax); // Only losetup's older versions show it.
  return config;
}

/** The path of a device that was free a moment ago. */
async function freeLoop(): Promise<string> {
  await using control = await open('/dev/loop-control', constants.O_RDWR);
  const name = `loop${ioctl(control.fd, LOOP_CTL_GET_FREE, null)}`;
  await makeNode(name);
  return `/dev/${name}`;
}

/** A container has its own /dev, where nobody makes the nodes of new devices. */
async function makeNode(name: string): Promise<void> {
  const path = `/dev/${name}`;
  const number = (await readFile(`/sys/block/${name}/dev`, 'utf8')).trim();
  const found = await stat(path).catch(() => undefined);
  if (found !== undefined) {
    if (found.isBlockDevice() && deviceNumber(found.rdev) === number) return;
    throw new KernelError(`${path} is no node of device ${number}`, 'ENODEV');
  }
  const [major = '', minor = ''] = number.split(':');
  try {
    await promisify(execFile)('mknod', ['-m', '0660', path, 'b', major, minor]);
  } catch (cause) {
    // Another process may have made it meanwhile.
    if ((await stat(path).catch(() => undefined)) === undefined) throw cause;
  }
}

/** `struct loop_info64`, or undefined for a device that is attached to nothing. */
function loopInfo(device: FileHandle): Buffer | undefined {
  const info = Buffer.alloc(infoBytes);
  try {
    ioctl(device.fd, LOOP_GET_STATUS64, info);
  } catch (error) {
    if (error instanceof KernelError && error.errno === 'ENXIO') return undefined;
    throw error;
  }
  return info;
}

async function isBackedBy(info: Buffer, file: FileHandle): Promise<boolean> {
  return isOf(info, await file.stat({ bigint: true }));
}

function isOf(info: Buffer, { dev, ino }: Pick<BigIntStats, 'dev' | 'ino'>): boolean {
  return info.readBigUInt64LE(0) === dev && info.readBigUInt64LE(8) === ino;
}

async function describe(path: string, device: FileHandle, info: Buffer): Promise<LoopDevice> {
  const flags = info.readUInt32LE(flagsAt);
  return {
    path,
    readOnly: (flags & LO_FLAGS_READ_ONLY) !== 0,
    directIo: (flags & LO_FLAGS_DIRECT_IO) !== 0,
    sectorBytes: deviceBlockBytes(device.fd),
    sizeBytes: deviceSizeBytes(device.fd),
    deviceNumber: deviceNumber((await device.stat()).rdev),
  };
}

/** Takes the file from a device that nobody else has open. @returns what it was attached to, for `untilGone` */
async function clearLoop(path: string, file: string | undefined): Promise<Buffer | 'none' | 'open'> {
  await using device = await openClaimed(path);
  const info = loopInfo(device);
  if (info === undefined) return 'none';
  if (file !== undefined) {
    await using backing = await open(file, constants.O_RDONLY);
    if (!(await isBackedBy(info, backing))) throw new KernelError(`detach ${path}, which is not of ${file}`, 'EBUSY');
  }
  // The last close would write it out too, but tell nobody that it failed.
  await device.sync();
  await ioctlAsync(device.fd, LOOP_CLR_FD, null);
  const after = loopInfo(device);
  if (after === undefined) return info;
  // Others have it open, so the kernel would detach it behind their backs when they close it. Take that back.
  after.writeUInt32LE(after.readUInt32LE(flagsAt) & ~LO_FLAGS_AUTOCLEAR, flagsAt);
  await ioctlAsync(device.fd, LOOP_SET_STATUS64, after);
  return 'open';
}

/** A claim keeps mounts and other claims away while we hold it; it does not keep away those that just open it. */
async function openClaimed(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_EXCL);
  } catch (error) {
    if (isErrno(error, 'EBUSY')) throw new KernelError(`detach ${path}, which is mounted or claimed`, 'EBUSY');
    throw error;
  }
}

/** Undefined while the device is being detached, by whomever: between its last close and its end nobody can open it. */
async function openUnlessGoing(path: string, flags = constants.O_RDONLY): Promise<FileHandle | undefined> {
  try {
    return await open(path, flags);
  } catch (error) {
    if (isErrno(error, 'ENXIO')) return undefined;
    throw error;
  }
}

/** The device may belong to another file by then: that is gone too. */
async function untilGone(
  path: string,
  before: Buffer,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  const name = path.slice('/dev/'.length);
  for (let tries = 0; tries < detachTriesMax; tries += 1) {
    if (!isLoopAttached(name)) return;
    {
      await using device = await openUnlessGoing(path);
      const now = device && loopInfo(device);
      if (device !== undefined && (now === undefined || now.compare(before, 0, 16, 0, 16) !== 0)) return;
    }
    await clock.sleep(detachPauseMs, { signal });
  }
  throw new KernelError(`detach ${path}, which does not end`, 'EBUSY');
}
