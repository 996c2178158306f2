/** Backup, restore and verification in this process, as the commands do them: for tests that need thousands. */
import { join } from 'node:path';
import type { FaultOptions } from '../../src/blobs/fault.ts';
import type { BlobStoreLocation } from '../../src/blobs/location.ts';
import { openBlobStore } from '../../src/blobs/open-blob-store.ts';
import type { RetryOptions } from '../../src/blobs/retry.ts';
import { createFormat, type OpenedFormat } from '../../src/repository/format/format-store.ts';
import { listSnapshots, resolveSnapshot } from '../../src/repository/manifest/snapshot.ts';
import { Repository } from '../../src/repository/repository.ts';
import { type Clock, systemClock } from '../../src/std/clock.ts';
import { systemRng as rng } from '../../src/std/rng.ts';
import { backup } from '../../src/transfer/backup.ts';
import { openVolumeSnapshot } from '../../src/transfer/backup-parent.ts';
import type { BackupRequest, BackupResult } from '../../src/transfer/backup-request.ts';
import { restore, type RestoreResult } from '../../src/transfer/restore.ts';
import { verify } from '../../src/transfer/verify.ts';
import { openSource } from '../../src/volume/file-source.ts';

/** One repository and how it is reached. */
export interface Engine {
  readonly path: string;
  readonly opened: OpenedFormat;
  /** Deleting it makes the next opening a first one. */
  readonly cache: string;
  readonly fault?: FaultOptions | undefined;
  readonly retry?: RetryOptions | undefined;
  readonly clock?: Clock | undefined;
  readonly signal?: AbortSignal | undefined;
}

const never = new AbortController().signal;
const identity = { userName: 'tester', host: 'here' };

/** A new repository `repository` in the folder; the password is `password`. */
export async function createEngine(folder: string): Promise<Engine> {
  const path = join(folder, 'repository');
  await using store = await openStore({ path }, { create: true });
  const opened = await createFormat(store, { password: 'password', rng, signal: never });
  return { path, opened, cache: join(folder, 'cache') };
}

export async function openStore(
  engine: Pick<Engine, 'path' | 'fault' | 'retry' | 'clock' | 'signal'>,
  { create = false }: { readonly create?: boolean } = {},
): ReturnType<typeof openBlobStore> {
  const { signal = never, clock = systemClock } = engine;
  return await openBlobStore(locationOf(engine), { create, signal, clock, rng });
}

/** Opens the repository for as long as `work` takes. */
export async function withRepository<T>(engine: Engine, work: (repository: Repository) => Promise<T>): Promise<T> {
  const { opened, cache, clock = systemClock, signal = never } = engine;
  const store = await openStore(engine);
  let repository: Repository;
  try {
    repository = await Repository.openWith({ store, clock, rng }, opened, { cacheDirectory: cache, signal });
  } catch (error) {
    await store[Symbol.asyncDispose]();
    throw error;
  }
  await using _closing = repository;
  return await work(repository);
}

export async function backupFile(
  engine: Engine,
  path: string,
  options: Partial<BackupRequest> = {},
): Promise<BackupResult> {
  const { clock = systemClock, signal = never } = engine;
  return await withRepository(engine, async (repository) => {
    await using source = await openSource(path, { signal });
    return await backup(
      { repository, source, clock, identity },
      {
        origin: { ...identity, path },
        parent: 'auto',
        trustMtime: false,
        offers: [],
        trustChanges: false,
        strict: false,
        allowChanges: false,
        tags: {},
        layout: 'tree-1',
        store: locationOf(engine),
        parallel: 2,
        onProgress: () => undefined,
        onWarning: () => undefined,
        signal,
        ...options,
      },
    );
  });
}

export interface RestoreHow {
  readonly overwrite?: boolean;
  readonly delta?: boolean;
  readonly parallel?: number;
}

export async function restoreFile(
  engine: Engine,
  snapshot: string,
  target: string,
  { overwrite = false, delta = false, parallel = 2 }: RestoreHow = {},
): Promise<RestoreResult> {
  const { clock = systemClock, signal = never } = engine;
  return await withRepository(engine, async (repository) => {
    const set = await repository.manifests.load({ signal });
    const volume = await openVolumeSnapshot(repository, resolveSnapshot(set, snapshot), { signal });
    const flags = { overwrite, delta, force: false, parallel, stateDirectory: join(engine.cache, 'restores') };
    const store = locationOf(engine);
    const parts = { repository, clock, rng };
    return await restore(parts, { ...flags, volume, target, store, onProgress: () => undefined, signal });
  });
}

/** What is wrong with the repository, each thing by name; empty when all is well. As `verify --level data`. */
export async function problemsOf(engine: Engine): Promise<readonly string[]> {
  const { signal = never } = engine;
  return await withRepository(engine, async (repository) => {
    const { snapshots, damaged } = listSnapshots(await repository.manifests.load({ signal }));
    const result = await verify(repository, {
      snapshots,
      onlyThese: false,
      level: 'data',
      sample: 1,
      store: locationOf(engine),
      parallel: 1,
      rng,
      onProgress: () => undefined,
      signal,
    });
    return [
      ...damaged.map(({ id }) => `manifest ${id}`),
      ...result.problems.map(({ what, reason }) => `${what}: ${reason}`),
      ...result.damaged.map(({ snapshot, extent, reason }) => `${snapshot} at ${extent.offset}: ${reason}`),
    ];
  });
}

/** Ids of the complete snapshots, oldest first. */
export async function snapshotIds(engine: Engine): Promise<readonly string[]> {
  const { signal = never } = engine;
  return await withRepository(engine, async (repository) => {
    const { snapshots } = listSnapshots(await repository.manifests.load({ signal }));
    return snapshots.filter(({ incomplete }) => incomplete === undefined).map(({ id }) => id);
  });
}

/** Removes snapshots, as `dray snapshot delete` does. */
export async function deleteSnapshots(engine: Engine, ids: readonly string[]): Promise<void> {
  const { signal = never } = engine;
  await withRepository(engine, async (repository) => {
    const set = await repository.manifests.load({ signal });
    for (const id of ids) set.delete(resolveSnapshot(set, id).id);
    await using writer = await repository.writer(identity, { signal });
    await repository.manifests.save(set, writer);
    await writer.finish();
  });
}

function locationOf({ path, fault, retry }: Pick<Engine, 'path' | 'fault' | 'retry'>): BlobStoreLocation {
  return { kind: 'directory', path, fault, retry };
}
