/**
 * A repository's snapshot into a volume of a pool. It is written into a folder of the pool's `staging`, where an
 * interrupted run goes on, and becomes the volume in one step when every byte is verified and durable: a new volume by a
 * rename, an existing one by changing places with the old content. An existing volume is begun as a clone of itself and
 * only what differs is written, so that it goes on sharing the rest with its snapshots.
 */
import { access, readdir, rename, rm, stat, truncate } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { FileLock } from '../kernel/lock-file.ts';
import { cloneImage, newRecord, publishVolume } from '../pool/create-volume.ts';
import { refuseForeign, strangersInLive } from '../pool/find-faults.ts';
import { claimImage } from '../pool/hold-image.ts';
import { PoolError, poolError, withPoolErrors } from '../pool/pool-error.ts';
import { imageName, volumeRecordName } from '../pool/pool-layout.ts';
import { checkPoolName } from '../pool/pool-names.ts';
import type { SectorBytes, VolumeRecord } from '../pool/pool-records.ts';
import type { Pool, PoolSnapshot, PoolVolume } from '../pool/pool.ts';
import { parseRestoreName, restoreName } from '../pool/restore-name.ts';
import { refuseBelowReserve, requireRoom, roomNow } from '../pool/room.ts';
import { syncMoved } from '../pool/sync-moved.ts';
import { giveBack, removeTree, setAside, Staged, syncFile } from '../pool/staging.ts';
import { makeDirectories, syncDirectory } from '../std/atomic-write.ts';
import { hasCode } from '../std/dray-error.ts';
import { restore, type RestoreParts, type RestoreRequest, type RestoreResult } from './restore.ts';

export interface PoolRestoreRequest extends Omit<RestoreRequest, 'target' | 'delta' | 'force'> {
  /** Made when it is not there; replaced with `overwrite`. */
  readonly name: string;
  /** Of the volume when it holds this: what stands on sectors of 512 bytes does not open on larger ones. */
  readonly sectorBytes: SectorBytes;
  readonly onDropped: (snapshot: PoolSnapshot) => void;
}

export interface PoolRestoreResult extends RestoreResult {
  readonly volume: PoolVolume;
  readonly replaced: boolean;
}

/** What an existing volume is written to, until it is whole. */
const deltaName = 'delta-image';
const blockBytes = 4096;
/** Whoever only looks whether a restore lives has it locked for a moment. */
const lookWaitMs = 1000;

/**
 * @throws {PoolError} `pool-volume-exists` without `overwrite`, or when one was made meanwhile; `pool-volume-deleted` when the one that was there
 *   at first is not any more: what is restored is kept; `pool-busy` beside another restore to it; `pool-in-use`; `pool-reserve`, also when it has come to that; and what `restore` throws
 */
export async function restoreVolume(
  pool: Pool,
  parts: RestoreParts,
  request: PoolRestoreRequest,
): Promise<PoolRestoreResult> {
  const { name, overwrite, signal } = request;
  checkPoolName(name, 'volume');
  const present = pool.findVolume(name);
  if (present !== undefined && !overwrite)
    throw new PoolError('pool-volume-exists', `there is a volume ${name} already`);
  using begun = await beginFolder(pool, request);
  const { folder } = begun;
  const live = join(folder, 'live');
  const image = join(live, imageName);
  const done = await isThere(image);
  let result: RestoreResult | undefined;
  if (!done) {
    const target = present === undefined ? image : await beginDelta(pool, present, join(live, deltaName), signal);
    const how = { target, overwrite: true, delta: present !== undefined, force: false };
    result = await whileRoom(pool, request, async (kept) => await restore(parts, { ...request, ...how, ...kept }));
    await withPoolErrors(`keep what is restored to volume ${name}`, async () => await nameImage(target, image));
  }
  await withPoolErrors(`make the image of volume ${name} whole`, async () => await finishImage(live));
  const replaces = present?.record.id;
  const gone = await pool.change(async () => await putInPlace(pool, folder, { request, replaces }), { signal });
  if (gone !== undefined) await giveBack(gone, `what volume ${name} held`);
  const counts = result?.counts ?? { doneBytes: 0, fetchedBytes: 0, packedBytes: 0, writtenBytes: 0, zeroBytes: 0 };
  return {
    target: pool.layout.image(name),
    kind: 'file',
    counts,
    resumed: result?.resumed ?? true,
    volume: pool.volume(name),
    replaced: present !== undefined,
  };
}

/**
 * The folder of this very work, locked until disposed of; what earlier, other restores to this name have left is removed.
 * Locked under the pool's lock: nobody finds it without its owner.
 */
async function beginFolder(
  pool: Pool,
  { name, volume, onDropped, signal }: PoolRestoreRequest,
): Promise<Disposable & { readonly folder: string }> {
  const mine = restoreName({ volume: name, snapshot: volume.snapshot.id });
  return await pool.change(
    async () => {
      await requireRoom(pool, { doing: `restore volume ${name}`, onDropped, signal });
      for (const other of await readdir(pool.layout.staging)) {
        if (other === mine || parseRestoreName(other)?.volume !== name) continue;
        const path = join(pool.layout.staging, other);
        using _lock = await lockFolder(pool, path, { name, signal });
        await removeTree(path);
      }
      const folder = join(pool.layout.staging, mine);
      for (const part of ['live', 'snapshots']) await makeDirectories(join(folder, part), { mode: 0o700 });
      const lock = await lockFolder(pool, folder, { name, signal });
      return { folder, [Symbol.dispose]: () => lock[Symbol.dispose]() };
    },
    { signal },
  );
}

/**
 * Ends the work when it has come to the reserve: applications that write to the pool's volumes must not be the first to see a full disk.
 * It is looked at whenever a task has been written, before the next is handed out, so that no more than the tasks under way
 * go beyond. What is written stays for the next run.
 */
async function whileRoom<T>(
  pool: Pool,
  { name, onProgress, signal }: PoolRestoreRequest,
  work: (kept: Pick<RestoreRequest, 'onProgress' | 'signal'>) => Promise<T>,
): Promise<T> {
  const full = new AbortController();
  try {
    return await work({
      onProgress: (...progress) => {
        try {
          refuseBelowReserve(roomNow(pool), `restore volume ${name}`);
        } catch (error) {
          full.abort(error);
        }
        onProgress(...progress);
      },
      signal: AbortSignal.any([signal, full.signal]),
    });
  } catch (error) {
    signal.throwIfAborted();
    throw full.signal.aborted ? full.signal.reason : error;
  }
}

async function lockFolder(
  pool: Pool,
  folder: string,
  { name, signal }: { readonly name: string; readonly signal: AbortSignal },
): Promise<Disposable> {
  try {
    return await FileLock.take(folder, {
      mode: 'exclusive',
      waitMs: lookWaitMs,
      create: false,
      clock: pool.clock,
      signal,
    });
  } catch (error) {
    if (!hasCode(error, 'kernel-busy')) throw poolError(error, `lock ${folder}`);
    throw new PoolError('pool-busy', `another restore to volume ${name} is under way`, { cause: error });
  }
}

async function beginDelta(pool: Pool, present: PoolVolume, path: string, signal: AbortSignal): Promise<string> {
  using _claim = await claimImage(pool, { image: present.image, what: `volume ${present.name}` }, { signal });
  refuseForeign(`volume ${present.name}`, strangersInLive(pool, present.name));
  if (!(await isThere(path))) await cloneImage(present.image, path);
  return path;
}

/** What is written is the image from here on, durably. */
async function nameImage(written: string, image: string): Promise<void> {
  if (written === image) return;
  await syncFile(written);
  await rename(written, image);
  await syncDirectory(dirname(image));
}

async function finishImage(live: string): Promise<void> {
  await removeOthers(live);
  await padToBlocks(join(live, imageName));
}

/** What a run before has left, when the volume was not there yet or still was: no part of a volume. */
async function removeOthers(live: string): Promise<void> {
  for (const name of await readdir(live)) {
    if (name !== imageName && name !== volumeRecordName) await rm(join(live, name), { force: true });
  }
}

/** A device has whole blocks: an image of another size ends in zeros. */
async function padToBlocks(image: string): Promise<void> {
  const { size } = await stat(image);
  if (size % blockBytes === 0) return;
  await truncate(image, Math.ceil(size / blockBytes) * blockBytes);
  await syncFile(image);
}

/**
 * Under the pool's lock. `replaces`: the id of the volume that was there when the restore began.
 * @returns the folder in `staging` that is left of what was replaced
 */
async function putInPlace(
  pool: Pool,
  folder: string,
  { request, replaces }: { readonly request: PoolRestoreRequest; readonly replaces: string | undefined },
): Promise<string | undefined> {
  const { name, sectorBytes, volume, signal } = request;
  const restoredFrom = volume.snapshot.id;
  if (replaces === undefined) {
    const record = newRecord(pool, { sectorBytes, restoredFrom });
    await publishVolume(pool, Staged.at(folder), { name, record, signal });
    return undefined;
  }
  // As it is now: since the restore began the volume may have got snapshots.
  const present = pool.findVolume(name);
  // Nobody said that another one of that name may go. What is restored stays, and the same command puts it there.
  if (present?.record.id !== replaces) {
    const anew = present === undefined ? '' : ' and made anew';
    const left = present === undefined ? '' : ': the new one is left as it is';
    throw new PoolError('pool-volume-deleted', `volume ${name} was deleted${anew} while it was restored${left}`);
  }
  using _claim = await claimImage(pool, { image: present.image, what: `volume ${name}` }, { signal });
  refuseForeign(`volume ${name}`, strangersInLive(pool, name));
  const record: VolumeRecord = { ...present.record, sectorBytes, restoredFrom };
  await Staged.at(folder).writeRecord(pool, { name: join('live', volumeRecordName), record, signal });
  // Once it holds the old content it must not have the name of a restore, which the same command would go on from.
  const settingAside = `put what is restored to volume ${name} aside`;
  const gone = await setAside(pool, folder, settingAside);
  const restored = await stat(join(gone, 'live'));
  try {
    // The volume is as it was: should this fail, nothing is done yet.
    await withPoolErrors(settingAside, async () => await syncMoved(dirname(folder)));
    await Staged.at(gone).exchange({
      inside: 'live',
      path: pool.layout.live(name),
      done: `volume ${name} is restored`,
    });
  } catch (error) {
    // They may have changed places, and only that it is durable could not be had: then it holds the old content.
    if ((await stat(join(gone, 'live'))).ino === restored.ino) await rename(gone, folder);
    throw error;
  }
  return gone;
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
