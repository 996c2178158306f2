/** Where a device is mounted, and how one gets there. */
import { constants } from 'node:fs';
import { type FileHandle, open, readFile, stat } from 'node:fs/promises';
import { isErrno } from '../std/atomic-write.ts';
import { deviceNumber, nameOfNumber } from './block-device.ts';
import { hostRoot, MountViews, type MountView } from './mount-namespaces.ts';
import type { Mount } from './mountinfo.ts';

export interface ReachableMount extends Mount {
  /**
   * A path that leads there from this process: the mount point, or for one that only another namespace has the same below
   * the root of a process there, such as /proc/1/root for the host's, for which this process has to be privileged. It
   * lasts as long as that process: to depend on it, open it (`openMount`).
   */
  readonly reachablePath: string;
}

/**
 * Where the device is mounted (`major:minor`, as in `LoopDevice`), in this mount namespace and, where it may be read, in the host's;
 * where no path leads to it there, in the first of all others that has it. Mounts that no path leads to because something
 * else is mounted over them, be it dead, are not told: what is there belongs to others. Of one place that both have, this
 * namespace's is told.
 */
export async function mountsOfDevice(
  number: string,
  views: MountViews = new MountViews(),
): Promise<readonly ReachableMount[]> {
  const device = { number, node: await nodeOfNumber(number) };
  const near = await reachableIn(await views.near(), device);
  if (near.certain.length > 0 || !(await holdsBytes(number))) return [...near.certain, ...near.doubtful];
  for (const view of await views.far()) {
    const { certain } = await reachableIn([view], device);
    if (certain.length > 0) return certain;
  }
  return near.doubtful;
}

/**
 * Opens a mount's folder, which keeps its file system where it is, whatever becomes of the mount, of its namespace and of
 * the processes there. @returns undefined when the path leads to something else by now. Throws the system's error.
 */
export async function openMount({ reachablePath, id, device }: ReachableMount): Promise<FileHandle | undefined> {
  await using opening = new AsyncDisposableStack();
  const folder = opening.use(await open(reachablePath, constants.O_RDONLY | constants.O_DIRECTORY));
  const [, opened] = /^mnt_id:\s*(\d+)$/m.exec(await readFile(`/proc/self/fdinfo/${folder.fd}`, 'utf8')) ?? [];
  // An id is given again as soon as it is free; what has no device of its own has a number for each subvolume.
  if (opened !== id || (!isAnonymous(device) && deviceNumber((await folder.stat()).dev) !== device)) return undefined;
  opening.move();
  return folder;
}

/** A device's number, and the usual name of its node, which need not be in this /dev. */
export interface NumberedDevice {
  readonly number: string;
  readonly node: string | undefined;
}

interface Reachable {
  readonly certain: readonly ReachableMount[];
  /** Who lacks the privilege for all of the host's root cannot tell: that is for whoever opens it to say. */
  readonly doubtful: readonly ReachableMount[];
}

async function reachableIn(views: readonly MountView[], wanted: NumberedDevice): Promise<Reachable> {
  const certain: ReachableMount[] = [];
  const doubtful: ReachableMount[] = [];
  for (const { root, whose, mounts } of views) {
    for (const mount of mounts) {
      if (!(await isMountOf(mount, wanted, { believing: false }))) continue;
      if (whose !== '' && isBehindProgram(mount, mounts)) continue;
      const isTold = [...certain, ...doubtful].some(({ mountPoint }) => mountPoint === mount.mountPoint);
      if (root !== '' && isTold) continue;
      const reachable = { ...mount, reachablePath: `${root}${mount.mountPoint}` };
      const leads = await leadsTo(reachable);
      if (leads === 'there') certain.push(reachable);
      if (leads === 'unknown' && root === hostRoot) doubtful.push(reachable);
    }
  }
  return { certain, doubtful };
}

/** Those that have a number of their own for what they mount: there only the source tells. */
const typesWithoutNumber = new Set(['btrfs', 'bcachefs']);

/**
 * Whether it is of that device. `believing`: also when the mount itself only says so, as those of FUSE do, whose programs may
 * write to the device; anybody can have such a mount in a namespace of his own.
 */
export async function isMountOf(
  { device, type, source }: Mount,
  { number, node }: NumberedDevice,
  { believing }: { readonly believing: boolean },
): Promise<boolean> {
  if (device === number) return true;
  const isSource = believing || (isAnonymous(device) && typesWithoutNumber.has(type));
  return isSource && (source === node || (await isNode(source, number)));
}

/**
 * Whether the way there may lead through a FUSE mount, whose program answers or does not, and then we would wait for ever. In a
 * namespace of his own anybody can make one over what he sees of others.
 */
function isBehindProgram({ id, mountPoint }: Mount, mounts: readonly Mount[]): boolean {
  return mounts.some((other) => {
    const isAbove = `${mountPoint}/`.startsWith(other.mountPoint === '/' ? '/' : `${other.mountPoint}/`);
    return isAbove && other.id !== id && other.type.startsWith('fuse');
  });
}

async function nodeOfNumber(number: string): Promise<string | undefined> {
  const name = await nameOfNumber(number);
  return name === undefined ? undefined : `/dev/${name}`;
}

function isAnonymous(device: string): boolean {
  return device.startsWith('0:');
}

/** Whether a mount's source is a device node of this number (a device mapper name, a link below /dev/disk). */
async function isNode(source: string, number: string): Promise<boolean> {
  if (!source.startsWith('/dev/')) return false;
  const stats = await stat(source).catch(() => undefined);
  return stats !== undefined && stats.isBlockDevice() && deviceNumber(stats.rdev) === number;
}

/**
 * Whether what a path opens is a folder of this mount, and of none that was made over it or over what leads there. What
 * refuses to be opened hides what it covers as well: a FUSE mount whose program has died, or that of another user.
 */
async function leadsTo(mount: ReachableMount): Promise<'there' | 'elsewhere' | 'unknown'> {
  try {
    await using folder = await openMount(mount);
    return folder === undefined ? 'elsewhere' : 'there';
  } catch (error) {
    if (!(error instanceof Error) || !('syscall' in error)) throw error;
    const isRefused = isErrno(error, 'EACCES') || isErrno(error, 'EPERM');
    return isRefused && !(await opens(hostRoot)) ? 'unknown' : 'elsewhere';
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

/** A device that is attached to nothing has none, and nothing of it is mounted anywhere. */
async function holdsBytes(number: string): Promise<boolean> {
  const sectors = await readFile(`/sys/dev/block/${number}/size`, 'utf8').catch(() => '0');
  return Number(sectors) > 0;
}
