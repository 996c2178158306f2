/**
 * What uses a block device or an image file right now, from /proc and /sys: mounts, swap, the devices built on it
 * (device mapper, RAID, loop), its partitions, and a claim that only an exclusive open shows (a mount in another
 * mount namespace). The answer is a moment's; a device that must stay ours is held open with O_EXCL besides.
 */
import { constants, type Stats } from 'node:fs';
import { open, readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { isErrno } from '../std/atomic-write.ts';
import { attachedLoopNames, fileNameOfLoop } from './loop-files.ts';

export interface Mount {
  /** One at a time has it, in all namespaces. */
  readonly id: string;
  /** `major:minor` of the file system's device; a virtual one for btrfs. */
  readonly device: string;
  readonly mountPoint: string;
  /** What was mounted, often a device's path. */
  readonly source: string;
  /** The file system itself takes writes, even if this mount point does not. */
  readonly writable: boolean;
}

export interface DeviceUse {
  readonly kind: 'mounted' | 'swap' | 'holder' | 'loop' | 'claimed';
  /** Somebody may write to it meanwhile. */
  readonly writable: boolean;
  /** For a message: `mounted read-write at /data`. */
  readonly reason: string;
}

const hostRoot = '/proc/1/root';

/** Parses /proc/self/mountinfo (proc_pid_mountinfo(5)); lines that make no sense are skipped. */
export function parseMountinfo(text: string): Mount[] {
  return text.split('\n').flatMap((line) => {
    const [front, back] = line.split(' - ');
    const fields = front?.split(' ') ?? [];
    const [, source, superOptions] = back?.split(' ') ?? [];
    const [id, , device, , mountPoint] = fields;
    if (id === undefined || device === undefined || mountPoint === undefined || source === undefined) return [];
    const writable = (superOptions ?? 'rw').split(',').includes('rw');
    return [{ id, device, mountPoint: unescapeOctal(mountPoint), source: unescapeOctal(source), writable }];
  });
}

/** Paths in /proc/swaps. */
export function parseSwaps(text: string): string[] {
  return text
    .split('\n')
    .slice(1)
    .flatMap((line) => line.split(/\s+/)[0] || [])
    .map(unescapeOctal);
}

function unescapeOctal(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/**
 * All uses of the file or device at `path`, empty for one that does not exist. Reading needs no privilege. To see a claim one
 * claims the device oneself for a moment, in which others are refused: not for what is to be left alone.
 */
export async function usesOf(
  path: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<readonly DeviceUse[]> {
  const subject = await subjectAt(path, signal);
  const uses = await visibleUses(subject, signal);
  if (uses.length > 0 || subject?.stats.isBlockDevice() !== true) return uses;
  return (await isClaimed(subject.target)) ? [claimedUse] : [];
}

/** `usesOf` the block device of this number (`major:minor`); none when there is no such device. */
export async function usesOfNumber(
  number: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<readonly DeviceUse[]> {
  const name = await nameOfNumber(number);
  return name === undefined ? [] : await usesOf(`/dev/${name}`, { signal });
}

/** As `usesOf`, without claims: nobody notices that one looks. */
export async function visibleUsesOf(
  path: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<readonly DeviceUse[]> {
  return await visibleUses(await subjectAt(path, signal), signal);
}

interface Subject {
  /** Without links. */
  readonly target: string;
  readonly stats: Stats;
}

async function subjectAt(path: string, signal: AbortSignal): Promise<Subject | undefined> {
  signal.throwIfAborted();
  const target = await realpath(path).catch(() => undefined);
  return target === undefined ? undefined : { target, stats: await stat(target) };
}

async function visibleUses(subject: Subject | undefined, signal: AbortSignal): Promise<readonly DeviceUse[]> {
  if (subject === undefined) return [];
  const { target, stats } = subject;
  const world = { mounts: await readMounts(), swaps: parseSwaps(await readText('/proc/swaps')), signal };
  if (!stats.isBlockDevice()) {
    const swap = world.swaps.includes(target) ? [swapUse(target)] : [];
    return [...swap, ...(await usesOfBackingFile(target, world))];
  }
  return await usesOfDevice(await nameOfNumber(deviceNumber(stats.rdev)), world, 0);
}

export interface ReachableMount extends Mount {
  /**
   * A path that leads there from this process: the mount point, or for one in the host's namespace alone the same
   * below /proc/1/root, for which this process has to be privileged.
   */
  readonly reachablePath: string;
}

/**
 * Where the device is mounted (`major:minor`, as in `LoopDevice`), in this mount namespace and, where it may be read, in
 * the host's. Mounts that only other namespaces have are not seen, nor those that no path leads to because something else is
 * mounted over them, be it dead: what is there belongs to others. Of a place in both, this one's is told.
 */
export async function mountsOfDevice(number: string): Promise<readonly ReachableMount[]> {
  const found: ReachableMount[] = [];
  /** Where this process is in the host's namespace, its mounts are told twice. */
  const own = new Set<string>();
  const name = await nameOfNumber(number);
  const node = name === undefined ? undefined : `/dev/${name}`;
  for (const [root, text] of [
    ['', await readText('/proc/self/mountinfo')],
    [hostRoot, await readText('/proc/1/mountinfo')],
  ] as const) {
    for (const mount of parseMountinfo(text)) {
      // btrfs has a number of its own for what it mounts: there only the source tells.
      if (mount.device !== number && mount.source !== node && !(await isNode(mount.source, number))) continue;
      if (root !== '' && (own.has(mount.id) || found.some(({ mountPoint }) => mountPoint === mount.mountPoint)))
        continue;
      if (root === '') own.add(mount.id);
      const reachablePath = `${root}${mount.mountPoint}`;
      if (await leadsTo(reachablePath, mount)) found.push({ ...mount, reachablePath });
    }
  }
  return found;
}

/**
 * Whether what a path opens is a folder of this mount, and of none that was made over it or over what leads there. What
 * refuses to be opened hides what it covers as well: a FUSE mount whose program has died, or that of another user.
 */
async function leadsTo(path: string, { id }: Mount): Promise<boolean> {
  try {
    await using folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
    const [, opened] = /^mnt_id:\s*(\d+)$/m.exec(await readFile(`/proc/self/fdinfo/${folder.fd}`, 'utf8')) ?? [];
    return opened === id;
  } catch (error) {
    if (!(error instanceof Error) || !('syscall' in error)) throw error;
    // Who lacks the privilege for all of the host's root cannot tell: that is for whoever opens it to say.
    return (
      path.startsWith(`${hostRoot}/`) &&
      (isErrno(error, 'EACCES') || isErrno(error, 'EPERM')) &&
      !(await opens(hostRoot))
    );
  }
}

async function opens(path: string): Promise<boolean> {
  try {
    await using _folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
    return true;
  } catch {
    return false;
  }
}

interface World {
  readonly mounts: readonly Mount[];
  readonly swaps: readonly string[];
  readonly signal: AbortSignal;
}

const claimedUse: DeviceUse = {
  kind: 'claimed',
  writable: false,
  reason: 'held exclusively by the kernel or another program',
};

/** Deep enough for every sane stack of devices; an end for a loop device over a file on itself. */
const stackDepthMax = 8;

async function usesOfDevice(name: string | undefined, world: World, depth: number): Promise<DeviceUse[]> {
  world.signal.throwIfAborted();
  if (name === undefined || depth > stackDepthMax) return [];
  const directory = join('/sys/class/block', name);
  const number = (await readText(join(directory, 'dev'))).trim();
  const uses: DeviceUse[] = [];
  for (const mount of world.mounts) {
    if (mount.device !== number && mount.source !== `/dev/${name}` && !(await isNode(mount.source, number))) continue;
    const reason = `/dev/${name} is mounted ${mount.writable ? 'read-write' : 'read-only'} at ${mount.mountPoint}`;
    uses.push({ kind: 'mounted', writable: mount.writable, reason });
  }
  if (world.swaps.includes(`/dev/${name}`)) uses.push(swapUse(`/dev/${name}`));
  for (const holder of await listNames(join(directory, 'holders'))) {
    const above = await usesOfDevice(holder, world, depth + 1);
    // A holder is a use in itself for a writer; for a reader only what writes through it matters.
    uses.push({ kind: 'holder', writable: false, reason: `/dev/${name} is part of /dev/${holder}` }, ...above);
  }
  for (const entry of await listNames(directory)) {
    if (entry.startsWith(name) && (await readText(join(directory, entry, 'partition'))) !== '') {
      uses.push(...(await usesOfDevice(entry, world, depth + 1)));
    }
  }
  uses.push(...(await usesOfBackingFile(`/dev/${name}`, world, depth + 1)));
  return uses;
}

async function usesOfBackingFile(path: string, world: World, depth = 0): Promise<DeviceUse[]> {
  const uses: DeviceUse[] = [];
  for (const name of await attachedLoopNames().catch(() => [])) {
    if ((await fileNameOfLoop(name)) !== path) continue;
    uses.push(
      { kind: 'loop', writable: false, reason: `attached as /dev/${name}` },
      ...(await usesOfDevice(name, world, depth + 1)),
    );
  }
  return uses;
}

function swapUse(path: string): DeviceUse {
  return { kind: 'swap', writable: true, reason: `${path} is used as swap` };
}

/** The mounts of this mount namespace and, where it may be read, of the host's. */
async function readMounts(): Promise<Mount[]> {
  const own = await readText('/proc/self/mountinfo');
  const host = await readText('/proc/1/mountinfo');
  return parseMountinfo(host === own ? own : `${own}\n${host}`);
}

/** The kernel's name for a device number (`major:minor`), such as `vda1`. */
async function nameOfNumber(number: string): Promise<string | undefined> {
  const link = await realpath(`/sys/dev/block/${number}`).catch(() => undefined);
  return link === undefined ? undefined : basename(link);
}

/** `major:minor` from a stat's number, as glibc's gnu_dev_major and gnu_dev_minor cut it. */
export function deviceNumber(rdev: number): string {
  const value = BigInt(rdev);
  const major = ((value >> 8n) & 0xfffn) | ((value >> 32n) & 0xfffff000n);
  const minor = (value & 0xffn) | ((value >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

/** Whether a mount's source is a device node of this number (a device mapper name, a link below /dev/disk). */
async function isNode(source: string, number: string): Promise<boolean> {
  if (!source.startsWith('/dev/')) return false;
  const stats = await stat(source).catch(() => undefined);
  return stats !== undefined && stats.isBlockDevice() && deviceNumber(stats.rdev) === number;
}

/** An exclusive open of a block device (O_EXCL without O_CREAT) fails with EBUSY while the kernel or a program claims it. */
async function isClaimed(path: string): Promise<boolean> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_EXCL);
    await file.close();
    return false;
  } catch (error) {
    return isErrno(error, 'EBUSY');
  }
}

async function listNames(directory: string): Promise<string[]> {
  return await readdir(directory).catch(() => []);
}

async function readText(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch(() => '');
}
