/**
 * What stands still while an image is cloned. A mounted file system is frozen: its snapshot is whole without its
 * journal. A device without one is flushed: the snapshot is what a loss of power would have left. A volume that is not
 * attached stands still by itself. Everything that can be written out and cloned beforehand is (`pre-clone.ts`), so that
 * applications wait for little more than the freeze itself.
 */
import type { FileHandle } from 'node:fs/promises';
import { flushDevice, loopsOf, type LoopDevice } from '../kernel/loop-device.ts';
import { FreezeError, type FreezeFolder, FreezeGuard } from '../kernel/freeze-guard.ts';
import { syncFileSystem } from '../kernel/folder-calls.ts';
import { cloneFile } from '../kernel/reflink.ts';
import { type LookOptions, visibleUsesOf } from '../kernel/device-uses.ts';
import { MountViews } from '../kernel/mount-namespaces.ts';
import { mountsOfDevice, openMount, type ReachableMount } from '../kernel/mounts.ts';
import { isErrno } from '../std/atomic-write.ts';
import { markFrozen } from './frozen-mark.ts';
import { PoolError, withPoolErrors } from './pool-error.ts';
import { type Consistency, reasonCharactersMax } from './pool-records.ts';
import type { Pool, PoolVolume } from './pool.ts';
import { preClone } from './pre-clone.ts';
import { syncFile } from './staging.ts';

export interface Stillness {
  readonly volume: PoolVolume;
  readonly consistency: Consistency;
  readonly reason: string | undefined;
  readonly device: string | undefined;
  /** `major:minor` of it. */
  readonly deviceNumber?: string | undefined;
  /** What to freeze. */
  readonly mount: ReachableMount | undefined;
}

interface SignalOption {
  readonly signal: AbortSignal;
}

/** How the volume can be held still, found without touching it. */
export async function stillnessOf(volume: PoolVolume, { signal }: SignalOption): Promise<Stillness> {
  const devices = await loopsOf(volume.image, { signal });
  const device = devices.find(({ readOnly }) => !readOnly);
  if (device === undefined) {
    return { volume, consistency: 'unattached', reason: undefined, device: undefined, mount: undefined };
  }
  const views = new MountViews();
  const mounts = await mountsOfDevice(device.deviceNumber, views);
  const mount = mounts.find(({ writable }) => writable) ?? mounts[0];
  if (mount === undefined) return await unmounted(volume, device, { views, signal });
  // What is mounted read-only is written by nobody, and FIFREEZE would refuse it.
  if (!mount.writable) return still(volume, device, { consistency: 'frozen', reason: undefined, mount: undefined });
  return still(volume, device, { consistency: 'frozen', reason: undefined, mount });
}

/** The device may be in use by a program of which nothing is seen: it must not be refused anything because we look. */
async function unmounted(volume: PoolVolume, device: LoopDevice, options: LookOptions): Promise<Stillness> {
  const [use] = (await visibleUsesOf(device.path, options)).filter(({ kind }) => kind !== 'loop');
  const reason =
    use === undefined
      ? `no file system on ${device.path} is mounted where it could be frozen`
      : `${device.path} cannot be frozen: ${use.reason}`;
  return still(volume, device, {
    consistency: 'crash',
    reason: reason.slice(0, reasonCharactersMax),
    mount: undefined,
  });
}

function still(
  volume: PoolVolume,
  device: LoopDevice,
  rest: Pick<Stillness, 'consistency' | 'reason' | 'mount'>,
): Stillness {
  return { volume, device: device.path, deviceNumber: device.deviceNumber, ...rest };
}

/** An open image, and the open empty file that becomes its clone. */
export interface StillClone {
  readonly stillness: Stillness;
  readonly fromFd: number;
  readonly toFd: number;
}

export interface ClonedStill {
  /** How long writers waited, milliseconds; 0 when nothing was frozen. */
  readonly frozenMs: number;
  /** When it was, milliseconds since 1970: the middle of that time, as near as it can be told. */
  readonly atMs: number;
}

interface CloneOptions extends SignalOption {
  readonly boundMs: number;
}

/**
 * Clones images while all of them stand still, for `boundMs` at most.
 * @throws {PoolError} `pool-freeze` when a file system cannot be frozen or the bound has passed; nothing is frozen then
 */
export async function cloneStill(
  pool: Pool,
  clones: readonly StillClone[],
  { boundMs, signal }: CloneOptions,
): Promise<ClonedStill> {
  const { clock } = pool;
  const stillnesses = clones.map(({ stillness }) => stillness);
  const frozen = stillnesses.flatMap(({ volume, mount, deviceNumber }) => {
    return mount === undefined || deviceNumber === undefined ? [] : [{ volume, mount, deviceNumber }];
  });
  if (frozen.length === 0) {
    await prepare(pool, clones, { folders: [], signal });
    await writeOut(stillnesses, []);
    const atMs = clock.nowMs();
    for (const { fromFd, toFd } of clones) await cloneFile(fromFd, toFd);
    return { frozenMs: 0, atMs };
  }
  try {
    await using opening = new AsyncDisposableStack();
    const folders: FreezeFolder[] = [];
    for (const member of frozen) {
      const opened = await openFrozen(member);
      opening.use(opened.folder);
      folders.push(opened);
    }
    await prepare(pool, clones, { folders, signal });
    const devices = frozen.map(({ deviceNumber }) => deviceNumber);
    // Not before: what preparing takes is seconds, and who finds the mark of one that was killed meanwhile thaws what others froze.
    await using _mark = await markFrozen(pool, devices, { signal });
    opening.move();
    await using guard = await FreezeGuard.start(folders, { clones, boundMs, clock, signal });
    await writeOut(stillnesses, folders);
    // Whoever freezes has written out everything through its device: nothing is left in that one's cache.
    const frozenMs = await guard.cloneFrozen();
    if (frozenMs !== undefined) return { frozenMs, atMs: clock.nowMs() - frozenMs / 2 };
    throw new PoolError('pool-freeze', `the file systems were let go after ${boundMs} ms: cloning took longer`);
  } catch (error) {
    if (!(error instanceof FreezeError)) throw error;
    throw new PoolError('pool-freeze', 'the file systems could not be held still', { cause: error });
  }
}

/**
 * Whoever mounted it may leave at any time, such as a container, and with him the path: opened, the file system stays until it
 * is thawed. @throws {FreezeError | PoolError}
 */
async function openFrozen({
  volume,
  mount,
}: {
  readonly volume: PoolVolume;
  readonly mount: ReachableMount;
}): Promise<FreezeFolder> {
  const path = mount.reachablePath;
  let folder: FileHandle | undefined;
  try {
    folder = await openMount(mount);
  } catch (cause) {
    if (!isErrno(cause, 'ENOENT') && !isErrno(cause, 'ESRCH'))
      throw new FreezeError('freeze-refused', `open ${path} to freeze it`, { cause });
  }
  if (folder !== undefined) return { path, folder };
  throw new PoolError('pool-freeze', `volume ${volume.name} was unmounted from ${path} meanwhile`);
}

/** What is cloned now need not be while applications wait; what is written meanwhile is the caller's to write out. */
async function prepare(
  { clock }: Pool,
  clones: readonly StillClone[],
  { folders, signal }: SignalOption & { readonly folders: readonly FreezeFolder[] },
): Promise<void> {
  // Nobody waits for the clone of a volume that is not attached.
  const busy = clones.flatMap(({ stillness: { deviceNumber }, fromFd, toFd }) => {
    return deviceNumber === undefined ? [] : [{ fromFd, toFd, deviceNumber }];
  });
  const stillnesses = clones.map(({ stillness }) => stillness);
  await preClone(busy, { writeOut: async () => await writeOut(stillnesses, folders), clock, signal });
}

/** What is written out now need not be while applications wait. */
async function writeOut(stillnesses: readonly Stillness[], folders: readonly FreezeFolder[]): Promise<void> {
  for (const { path, folder } of folders) {
    await withPoolErrors(`write out ${path}`, async () => await syncFileSystem(folder.fd));
  }
  for (const { device, volume } of stillnesses) {
    await withPoolErrors(`write out volume ${volume.name}`, async () => {
      if (device !== undefined) await flushDevice(device);
      await syncFile(volume.image);
    });
  }
}
