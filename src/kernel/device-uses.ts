/**
 * What uses a block device or an image file right now, from /proc and /sys: mounts, swap, the devices built on it
 * (device mapper, RAID, loop), its partitions, and a claim that only an exclusive open shows. A mount in a namespace of other
 * processes is looked for only where a use is known that it may stand behind. The answer is a moment's; a device that must
 * stay ours is held open with O_EXCL besides.
 */
import { constants, type Stats } from 'node:fs';
import { open, readdir, readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../std/atomic-write.ts';
import { deviceNumber, nameOfNumber } from './block-device.ts';
import { attachedLoopNames, fileNameOfLoop } from './loop-files.ts';
import { type MountView, MountViews } from './mount-namespaces.ts';
import { unescapeOctal } from './mountinfo.ts';
import { isMountOf } from './mounts.ts';

export interface DeviceUse {
  readonly kind: 'mounted' | 'swap' | 'holder' | 'loop' | 'claimed';
  /** Somebody may write to it meanwhile. */
  readonly writable: boolean;
  /** For a message: `mounted read-write at /data`. */
  readonly reason: string;
}

export interface LookOptions {
  readonly signal: AbortSignal;
  /** Those of a moment ago; absent: of now. */
  readonly views?: MountViews;
}

/**
 * All uses of the file or device at `path`, empty for one that does not exist. Reading needs no privilege. To see a claim one
 * claims the device oneself for a moment, in which others are refused: not for what is to be left alone.
 */
export async function usesOf(path: string, options: LookOptions): Promise<readonly DeviceUse[]> {
  return await look(path, { ...options, mayClaim: true });
}

/** `usesOf` the block device of this number (`major:minor`); none when there is no such device. */
export async function usesOfNumber(number: string, options: LookOptions): Promise<readonly DeviceUse[]> {
  const name = await nameOfNumber(number);
  return name === undefined ? [] : await usesOf(`/dev/${name}`, options);
}

/** As `usesOf`, without claims: nobody notices that one looks. */
export async function visibleUsesOf(path: string, options: LookOptions): Promise<readonly DeviceUse[]> {
  return await look(path, { ...options, mayClaim: false });
}

async function look(
  path: string,
  { signal, views = new MountViews(), mayClaim }: LookOptions & { readonly mayClaim: boolean },
): Promise<readonly DeviceUse[]> {
  const subject = await subjectAt(path, signal);
  if (subject === undefined) return [];
  const near = await views.near();
  const uses = await usesIn(near, subject, signal);
  if (uses.some(({ writable }) => writable)) return uses;
  const claimed = mayClaim && uses.length === 0 && subject.stats.isBlockDevice() && (await isClaimed(subject.target));
  // What nobody claims is mounted nowhere.
  if (mayClaim && uses.length === 0 && !claimed) return [];
  const everywhere = await usesIn([...near, ...(await views.far())], subject, signal);
  return everywhere.length === 0 && claimed ? [claimedUse] : everywhere;
}

/** Paths in /proc/swaps. */
export function parseSwaps(text: string): string[] {
  return text
    .split('\n')
    .slice(1)
    .flatMap((line) => line.split(/\s+/)[0] || [])
    .map(unescapeOctal);
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

async function usesIn(
  views: readonly MountView[],
  { target, stats }: Subject,
  signal: AbortSignal,
): Promise<readonly DeviceUse[]> {
  const world = { views, swaps: parseSwaps(await readText('/proc/swaps')), signal };
  if (!stats.isBlockDevice()) {
    const swap = world.swaps.includes(target) ? [swapUse(target)] : [];
    return [...swap, ...(await usesOfBackingFile(target, world))];
  }
  return await usesOfDevice(await nameOfNumber(deviceNumber(stats.rdev)), world, 0);
}

interface World {
  readonly views: readonly MountView[];
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
  for (const { mounts, whose } of world.views) {
    for (const mount of mounts) {
      if (!(await isMountOf(mount, { number, node: `/dev/${name}` }, { believing: whose === '' }))) continue;
      const { mountPoint, writable } = mount;
      const reason = `/dev/${name} is mounted ${writable ? 'read-write' : 'read-only'} at ${mountPoint}${whose}`;
      uses.push({ kind: 'mounted', writable, reason });
    }
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
