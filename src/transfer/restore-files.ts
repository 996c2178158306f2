/**
 * A folder of a snapshot into a folder of this system, with all below it. The target is new or empty, or is written over
 * on request; it is ours while we have it locked. Files get their names at once and their times last, when they are whole
 * and verified; what replaces something is written beside it and renamed over it. So an interrupted restore, run again,
 * finds out by itself what is whole, and what it has to know besides lies in the state folder (`files-state.ts`). Nothing
 * is reported as restored before the file system has it on stable storage.
 */
import { createHash } from 'node:crypto';
import { constants, lstat, mkdir, open, readdir, realpath, stat, type FileHandle } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

import type { BlobStoreLocation } from '../blobs/location.ts';
import { tryLock } from '../kernel/sys.ts';
import type { DirEntry } from '../repository/manifest/dir-entry.ts';
import type { SnapshotId } from '../repository/manifest/snapshot.ts';
import type { Repository } from '../repository/repository.ts';
import { makeDirectories, syncDirectory } from '../std/atomic-write.ts';
import { randomHex, type Rng } from '../std/rng.ts';
import { VolumeError } from '../volume/block-source.ts';
import { removeBeginningWith } from '../volume/folder-entry.ts';
import { withVolumeErrors } from '../volume/volume-errors.ts';
import type { EntryChoice } from './entry-choice.ts';
import type { FetchWorkers } from './fetch-messages.ts';
import type { Omission } from './file-failure.ts';
import type { FilesCounts } from './files-counts.ts';
import { FilesRun } from './files-run.ts';
import { bootId, readFilesState, writeFilesState, type FilesState } from './files-state.ts';
import { forgetState } from './restore-state.ts';

export interface RestoreFilesRequest {
  readonly snapshot: SnapshotId;
  /** The folder to restore: the snapshot's root, or one inside. */
  readonly root: DirEntry;
  readonly target: string;
  readonly overwrite: boolean;
  /** Whether owners are restored, which only root can. */
  readonly owners: boolean;
  readonly choice: EntryChoice;
  readonly stateDirectory: string;
  readonly store: BlobStoreLocation;
  readonly parallel: number;
  /** As many as `parallel`, loading already. The caller closes them. */
  readonly workers?: FetchWorkers | undefined;
  readonly onProgress: (counts: FilesCounts) => void;
  /** Called for everything that is left out, as it is met. */
  readonly onOmission: (omission: Omission) => void;
  readonly signal: AbortSignal;
}

export interface RestoreFilesResult {
  readonly target: string;
  readonly counts: FilesCounts;
  readonly resumed: boolean;
}

export interface RestoreFilesPlan {
  readonly path: string;
  readonly way: 'new-folder' | 'empty-folder' | 'over-folder' | 'resume';
}

/** What a restore would write to, found without touching it. @throws {VolumeError} `volume-exists`, `volume-kind` */
export async function planRestoreFiles(request: RestoreFilesRequest): Promise<RestoreFilesPlan> {
  const path = resolve(request.target);
  return await withVolumeErrors(
    () => `look at ${path}`,
    async () => {
      if ((await lstat(path).catch(ifMissing)) === undefined) return { path, way: 'new-folder' };
      // Looked at before it is opened, which of a pipe would not end.
      if (!(await stat(path)).isDirectory()) throw new VolumeError('volume-kind', `${path} is no folder`);
      await using folder = await openFolder(path);
      return await planInto(request, path, folder);
    },
  );
}

async function planInto(request: RestoreFilesRequest, path: string, folder: FileHandle): Promise<RestoreFilesPlan> {
  const entries = await readdir(path);
  if (entries.every((name) => name === 'lost+found')) return { path, way: 'empty-folder' };
  const state = await readFilesState(await statePathOf(request, path), await wantedOf(request, folder));
  if (state !== undefined && (state.own || request.overwrite)) return { path, way: 'resume' };
  if (!request.overwrite) throw new VolumeError('volume-exists', `${path} is not empty`);
  return { path, way: 'over-folder' };
}

/**
 * @returns also when some entries were left out: all others are whole and on disk
 * @throws {VolumeError} `volume-exists`, `volume-busy`, `volume-no-space` and others; {BlobError}
 */
export async function restoreFiles(
  { repository, rng }: { readonly repository: Repository; readonly rng: Rng },
  request: RestoreFilesRequest,
): Promise<RestoreFilesResult> {
  const { path, way } = await planRestoreFiles(request);
  if (way === 'new-folder') await makeTarget(path);
  await using folder = await openTarget(path);
  const statePath = await statePathOf(request, path);
  const wanted = await wantedOf(request, folder);
  const state = way === 'resume' ? await readFilesState(statePath, wanted) : undefined;
  const boot = await bootId();
  // What an earlier boot has written is believed only when one run has compared all of it.
  const believed = state !== undefined && state.own && boot !== '' && state.boot === boot;
  const leftoverPrefix = state?.temporaryPrefix ?? `.dray-${randomHex(rng, 8)}-`;
  const own = state?.own ?? way !== 'over-folder';
  const begun = { ...wanted, own, temporaryPrefix: leftoverPrefix, boot: state === undefined || believed ? boot : '' };
  const record = async (partial: FilesState['partial']): Promise<void> =>
    await writeFilesState(statePath, { ...begun, partial }, { rng, signal: request.signal });
  const partial = state?.partial ?? [];
  await record(partial);
  if (state !== undefined) {
    removeBeginningWith(folder.fd, leftoverPrefix, { except: new Set(partial.map(({ name }) => name)) });
  }
  await using run = new FilesRun(repository, {
    ...request,
    rootFd: folder.fd,
    rootDevice: (await folder.stat({ bigint: true })).dev,
    existing: believed ? 'trust' : state === undefined && own ? 'refuse' : 'replace',
    own,
    temporaryPrefix: `${leftoverPrefix}${randomHex(rng, 4)}-`,
    leftoverPrefix,
    partial,
    recordPartial: record,
  });
  const counts = await run.process();
  // Also when something was left out: from now on the folder is its user's, and writing over it is for him to ask for.
  await forgetState(statePath);
  return { target: path, counts, resumed: state !== undefined };
}

async function makeTarget(path: string): Promise<void> {
  await withVolumeErrors(
    () => `make ${path}`,
    async () => {
      await mkdir(path, { mode: 0o700 });
      await syncDirectory(dirname(path));
    },
  );
}

/** @throws {VolumeError} `volume-busy` when another restore writes there */
async function openTarget(path: string): Promise<FileHandle> {
  const folder = await withVolumeErrors(
    () => `open ${path}`,
    async () => await openFolder(path),
  );
  if (tryLock(folder.fd)) return folder;
  await folder.close();
  throw new VolumeError('volume-busy', `${path} is being written by another restore`);
}

async function openFolder(path: string): Promise<FileHandle> {
  return await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
}

async function statePathOf({ stateDirectory }: RestoreFilesRequest, path: string): Promise<string> {
  await makeDirectories(stateDirectory, { mode: 0o700 });
  const name = createHash('sha256')
    .update(await realpath(path))
    .digest('hex')
    .slice(0, 16);
  return join(stateDirectory, `restore-${name}.json`);
}

/** Tells the work, and one folder from another of the same name. */
async function wantedOf(
  { snapshot, root, owners }: RestoreFilesRequest,
  folder: FileHandle,
): Promise<Pick<FilesState, 'snapshot' | 'object' | 'folder' | 'owners'>> {
  const { dev, ino, birthtimeNs } = await folder.stat({ bigint: true });
  return { snapshot, object: root.object, folder: `${dev}:${ino}:${birthtimeNs}`, owners };
}

function ifMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
