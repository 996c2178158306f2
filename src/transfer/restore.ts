/**
 * A snapshot of a volume into a file or onto a device. A new file is written as `TARGET.partial` and gets its name when
 * all of it is verified and flushed; `--delta` and devices are written in place. What an interrupted run has done is
 * recorded beside the file, or in the state folder for a device: on a device, where others may have written since, the
 * part that was done is read and compared again, not trusted.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { lstat, realpath, rename, stat, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

import type { BlobStoreLocation } from '../blobs/location.ts';
import type { Repository } from '../repository/repository.ts';
import { makeDirectories, syncDirectory } from '../std/atomic-write.ts';
import type { Clock } from '../std/clock.ts';
import type { Rng } from '../std/rng.ts';
import { VolumeError } from '../volume/block-source.ts';
import type { BlockTarget } from '../volume/block-target.ts';
import { openDeviceTarget } from '../volume/device-target.ts';
import { kindOf } from '../volume/file-source.ts';
import { giveNewName, openFileTarget, targetInUse } from '../volume/file-target.ts';
import { withVolumeErrors } from '../volume/volume-errors.ts';
import type { VolumeSnapshot } from './backup-parent.ts';
import type { FetchWorkers } from './fetch-messages.ts';
import { RestoreRun, type RestoreCounts } from './restore-run.ts';
import { forgetState, readAnyState, readState, writeState, type RestoreState } from './restore-state.ts';

export interface RestoreRequest {
  readonly volume: VolumeSnapshot;
  readonly target: string;
  readonly overwrite: boolean;
  readonly delta: boolean;
  readonly force: boolean;
  /** For the state of restores to devices. */
  readonly stateDirectory: string;
  readonly store: BlobStoreLocation;
  readonly parallel: number;
  /** As many as `parallel`, loading already. The caller closes them. */
  readonly workers?: FetchWorkers | undefined;
  readonly onProgress: (counts: RestoreCounts, totalBytes: number) => void;
  readonly signal: AbortSignal;
}

export interface RestoreResult {
  readonly target: string;
  readonly kind: 'file' | 'device';
  readonly counts: RestoreCounts;
  readonly resumed: boolean;
}

export interface RestoreParts {
  readonly repository: Repository;
  readonly clock: Clock;
  readonly rng: Rng;
}

/** What a restore would write to, found without touching it. */
export type RestorePlan =
  | { readonly way: 'new-file'; readonly path: string; readonly replaces: boolean }
  | { readonly way: 'delta-file'; readonly path: string }
  | { readonly way: 'device'; readonly path: string };

/** @throws {VolumeError} `volume-exists`, `volume-busy`, `volume-kind` */
export async function planRestore(request: RestoreRequest): Promise<RestorePlan> {
  const { overwrite, delta, force, signal } = request;
  const path = resolve(request.target);
  const exists = await stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw new VolumeError('volume-io', `look at ${path}`, { cause: error });
    },
  );
  // A link to nothing is nothing to read, but a name that is taken.
  const dangles = !exists && (await lstat(path).catch(() => undefined)) !== undefined;
  if (dangles && !overwrite) throw new VolumeError('volume-exists', `${path} is a link to nothing`);
  if (exists) {
    const kind = await kindOf(path);
    const use = force ? undefined : await targetInUse(path, { signal });
    if (use !== undefined) throw new VolumeError('volume-busy', `${path} is in use: ${use.reason}`);
    if (kind === 'device') return { way: 'device', path };
    if (delta) return { way: 'delta-file', path };
    if (!overwrite) throw new VolumeError('volume-exists', `${path} exists`);
  }
  return { way: 'new-file', path, replaces: exists || dangles };
}

/** @throws {VolumeError}, {RepositoryError} `corrupt` when a chunk is damaged: the target then has no name, or is not whole */
export async function restore(parts: RestoreParts, request: RestoreRequest): Promise<RestoreResult> {
  const plan = await planRestore(request);
  if (plan.way !== 'device') await forgetFinished(plan.path);
  switch (plan.way) {
    case 'new-file':
      return await restoreNewFile(parts, request, plan);
    case 'delta-file': {
      const { sizeBytes } = request.volume;
      const options = { sizeBytes, mode: 'in-place', signal: request.signal } as const;
      // Here a link is the user's own way to say which file: there was one when the plan was made.
      await using target = await openFileTarget(await behindLinks(plan.path), options);
      const counts = await run(parts, request, { target, resumeFrom: 0, deltaBelow: Infinity, statePath: undefined });
      return { target: plan.path, kind: 'file', counts, resumed: false };
    }
    case 'device':
      return await restoreDevice(parts, request, plan.path);
  }
}

async function restoreNewFile(
  parts: RestoreParts,
  request: RestoreRequest,
  { path, replaces }: { readonly path: string; readonly replaces: boolean },
): Promise<RestoreResult> {
  const { partial, statePath } = unfinished(path);
  const { volume, signal } = request;
  const { sizeBytes } = volume;
  const state = await readState(statePath, { ...stateOf(volume), file: await fileIdentity(partial) });
  const resumeFrom = state?.watermark ?? 0;
  const mode = resumeFrom === 0 ? 'truncate' : 'in-place';
  if (!request.overwrite) await refuseForeignPartial(partial, statePath);
  // Marks the file as ours before it holds anything, and claims none of what it may hold now.
  const beforeTruncate = async (): Promise<void> => {
    if (mode !== 'truncate') return;
    const file = await fileIdentity(partial);
    assert(file !== undefined);
    await writeState(statePath, { ...stateOf(volume), file, watermark: 0 }, { rng: parts.rng, signal });
  };
  let counts: RestoreCounts;
  {
    await using target = await openFileTarget(partial, { sizeBytes, mode, zeroed: true, beforeTruncate, signal });
    counts = await run(parts, request, { target, resumeFrom, deltaBelow: 0, statePath });
  }
  await withVolumeErrors(
    () => `give ${partial} the name ${path}`,
    async () => {
      if (replaces) await rename(partial, path);
      else await giveNewName(partial, path);
      await syncDirectory(dirname(path));
    },
  );
  await forgetState(statePath);
  return { target: path, kind: 'file', counts, resumed: resumeFrom > 0 };
}

/**
 * A restore that was killed when its file had just got the name leaves the record of how far it was, and on some file
 * systems the old name too: writing to that would change, in place, what has long been in use under the new one.
 */
async function forgetFinished(path: string): Promise<void> {
  const finished = await fileIdentity(path);
  if (finished === undefined) return;
  const { partial, statePath } = unfinished(path);
  const hasBothNames = finished === (await fileIdentity(partial));
  if (hasBothNames) await unlink(partial);
  if (hasBothNames || (await readAnyState(statePath))?.file === finished) await forgetState(statePath);
}

/** What stands beside a file until all of it is written. */
function unfinished(path: string): { readonly partial: string; readonly statePath: string } {
  return { partial: `${path}.partial`, statePath: `${path}.partial.state` };
}

async function behindLinks(path: string): Promise<string> {
  return await withVolumeErrors(
    () => `open ${path} for writing`,
    async () => await realpath(path),
  );
}

/** Somebody's own file may have the name that an unfinished restore would have. One that holds nothing is no loss. */
async function refuseForeignPartial(partial: string, statePath: string): Promise<void> {
  const found = await lstat(partial).catch(() => undefined);
  if (found === undefined || (found.isFile() && found.blocks === 0)) return;
  const known = await lstat(statePath).catch(() => undefined);
  if (found.isFile() && known !== undefined) return;
  throw new VolumeError(
    'volume-exists',
    `${partial} is in the way, and no unfinished restore of ours: remove or move it`,
  );
}

async function restoreDevice(parts: RestoreParts, request: RestoreRequest, path: string): Promise<RestoreResult> {
  const { volume, force, signal, stateDirectory } = request;
  await makeDirectories(stateDirectory, { mode: 0o700 });
  const name = createHash('sha256').update(path).digest('hex').slice(0, 16);
  const statePath = join(stateDirectory, `restore-${name}.json`);
  const state = await readState(statePath, { ...stateOf(volume), file: path });
  await using target = await openDeviceTarget(path, { sizeBytes: volume.sizeBytes, force, signal });
  const deltaBelow = request.delta ? Infinity : (state?.watermark ?? 0);
  const counts = await run(parts, request, { target, resumeFrom: 0, deltaBelow, statePath });
  await forgetState(statePath);
  return { target: path, kind: 'device', counts, resumed: state !== undefined };
}

interface RunState {
  readonly target: BlockTarget;
  readonly resumeFrom: number;
  readonly deltaBelow: number;
  readonly statePath: string | undefined;
}

async function run(
  { repository, clock, rng }: RestoreParts,
  { volume, store, parallel, workers, onProgress, signal }: RestoreRequest,
  { target, resumeFrom, deltaBelow, statePath }: RunState,
): Promise<RestoreCounts> {
  const { location } = target;
  const file = location.kind === 'device' ? location.path : await fileIdentity(location.path);
  await using pass = new RestoreRun(
    { repository, target, clock },
    {
      root: volume.object,
      sizeBytes: volume.sizeBytes,
      store,
      parallel,
      workers,
      deltaBelow,
      resumeFrom,
      async recordWatermark(watermark) {
        if (statePath !== undefined)
          await writeState(statePath, { ...stateOf(volume), file: file!, watermark }, { rng, signal });
      },
      onProgress: (counts) => onProgress(counts, volume.sizeBytes),
      signal,
    },
  );
  return await pass.process();
}

function stateOf({
  snapshot,
  object,
  sizeBytes,
}: VolumeSnapshot): Pick<RestoreState, 'snapshot' | 'object' | 'sizeBytes'> {
  return { snapshot: snapshot.id, object, sizeBytes };
}

/** Tells one file from another of the same name. */
async function fileIdentity(path: string): Promise<string | undefined> {
  try {
    const { dev, ino, birthtimeNs } = await stat(path, { bigint: true });
    return `${dev}:${ino}:${birthtimeNs}`;
  } catch {
    return undefined;
  }
}
