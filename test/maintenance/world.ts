/**
 * A repository in memory under a simulated clock, and what its clients do to it: small snapshots whose files share
 * contents, deletions, maintenance. Each client has a cache, and so an index, of its own.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { blobId, type BlobStore } from '../../src/blobs/blob-store.ts';
import { MemoryStore } from '../../src/blobs/memory-store.ts';
import { maintain, type MaintenanceResult } from '../../src/maintenance/maintain.ts';
import { createFormat, openFormat, type OpenedFormat } from '../../src/repository/format/format-store.ts';
import type { ContentId } from '../../src/repository/content/content-id.ts';
import type { DirEntry } from '../../src/repository/manifest/dir-entry.ts';
import { encodeDirectory } from '../../src/repository/manifest/directory.ts';
import { setMaintenanceOwner } from '../../src/repository/manifest/maintenance-params.ts';
import { encodeSnapshot, type SnapshotId } from '../../src/repository/manifest/snapshot.ts';
import { encodeIndirect } from '../../src/repository/object/indirect.ts';
import { directObjectId, indirectObjectId, type ObjectId } from '../../src/repository/object/object-id.ts';
import { Repository } from '../../src/repository/repository.ts';
import type { RepositoryWriter } from '../../src/repository/repository-writer.ts';
import { nanosecondsFromMs } from '../../src/std/go-time.ts';
import { seededRng, type Rng } from '../../src/std/rng.ts';
import { blobFiles, readExpected } from '../fixtures/open-fixture.ts';
import { memoryFolder } from '../support/temporary.ts';
import { SimClock } from '../support/sim-clock.ts';

export const hourMs = 3_600_000;
export const identity = { userName: 'keeper', host: 'here' };
const never = new AbortController().signal;
const fixtures = join(import.meta.dirname, '../fixtures/kopia');
const legacyFixture = 'format-v1';

/** Chunks of a file, by number: equal numbers are equal bytes. */
export type FileChunks = readonly number[];

export interface World extends AsyncDisposable {
  readonly folder: string;
  readonly clock: SimClock;
  readonly store: MemoryStore;
  readonly rng: Rng;
  readonly opened: OpenedFormat;
  readonly password: string;
  /** The maintenance owner is `identity`. @param store a layer around the world's own */
  open(client: string, store?: BlobStore): Promise<Repository>;
}

/** `epochs` as `dray` makes repositories; `legacy` of format version 1, as kopia made them before there were epochs. */
export type WorldFormat = 'epochs' | 'legacy';

export async function openWorld({
  seed,
  format = 'epochs',
  // Ahead of the real time, so that the caches find their real files old and remove them.
  startMs = Date.UTC(2040, 0, 1),
}: {
  readonly seed: number;
  readonly format?: WorldFormat | undefined;
  readonly startMs?: number;
}): Promise<World> {
  const folder = await memoryFolder('maintenance-world');
  const clock = new SimClock(startMs);
  const store = new MemoryStore({ clock });
  const rng = seededRng(seed);
  const { opened, password } = await (format === 'legacy' ? legacyFormat(store, clock) : newFormat(store, rng));
  const open = async (client: string, through: BlobStore = store): Promise<Repository> => {
    const cacheDirectory = join(folder.path, client);
    return await Repository.openWith({ store: through, clock, rng }, opened, { cacheDirectory, signal: never });
  };
  await using owner = await open('creator');
  await using writer = await owner.writer(identity, { signal: never });
  const set = await owner.manifests.load({ signal: never });
  setMaintenanceOwner(set, 'keeper@here');
  await owner.manifests.save(set, writer);
  await writer.finish();
  return {
    folder: folder.path,
    clock,
    store,
    rng,
    opened,
    password,
    open,
    [Symbol.asyncDispose]: async () => await folder[Symbol.asyncDispose](),
  };
}

type Opened = Pick<World, 'opened' | 'password'>;

async function newFormat(store: BlobStore, rng: Rng): Promise<Opened> {
  const password = 'password';
  return { opened: await createFormat(store, { password, rng, signal: never }), password };
}

/** We make none of format version 1: the settings and keys are those of one that kopia made. */
async function legacyFormat(store: BlobStore, clock: SimClock): Promise<Opened> {
  const { password } = await readExpected(legacyFixture);
  const files = await blobFiles(join(fixtures, legacyFixture, 'repository'));
  for (const name of ['kopia.repository', 'kopia.blobcfg']) {
    await store.put(blobId(name), await readFile(files.get(name)!), { signal: never });
  }
  return { opened: await openFormat(store, { password, clock, signal: never }), password };
}

/** The bytes of chunk number `n`: about 2 KiB, not compressible. */
export function chunk(n: number): Uint8Array {
  return seededRng(n + 1).bytes(2000 + (n % 97));
}

/** Stores a file; one of several chunks gets a list. */
export async function putFile(writer: RepositoryWriter, chunks: FileChunks): Promise<ObjectId> {
  const members: { offset: number; lengthBytes: number; objectId: ObjectId }[] = [];
  let offset = 0;
  for (const number of chunks) {
    const bytes = chunk(number);
    const objectId = directObjectId(await writer.write('', bytes));
    members.push({ offset, lengthBytes: bytes.length, objectId });
    offset += bytes.length;
  }
  if (members.length === 1) return members[0]!.objectId;
  return indirectObjectId(directObjectId(await writer.write('x', encodeIndirect(members))));
}

export interface SnapshotOf {
  readonly path: string;
  readonly files: readonly ObjectId[];
  readonly nowMs: number;
  readonly incomplete?: string | undefined;
  readonly id?: SnapshotId | undefined;
}

/** Stores the folder and the manifest; they count with the writer's next flush. */
export async function putSnapshot(
  repository: Repository,
  writer: RepositoryWriter,
  { path, files, nowMs, incomplete, id }: SnapshotOf,
): Promise<SnapshotId> {
  const time = nanosecondsFromMs(nowMs);
  const base = { mode: 0o644, sizeBytes: 0, modified: 0n, uid: 0, gid: 0 };
  const entries = files.map((object, n): DirEntry => ({ ...base, name: `f${n}`, type: 'f', object }));
  const listing: ContentId = await writer.write('k', encodeDirectory({ entries }));
  const rootEntry: DirEntry = { ...base, name: 'root', type: 'd', object: directObjectId(listing) };
  const set = await repository.manifests.load({ signal: never });
  const stats = { totalSizeBytes: 0, files: files.length, cachedFiles: 0, dirs: 1, errors: 0 };
  const facts = { source: { ...identity, path }, description: '', startTime: time, endTime: time, stats, rootEntry };
  const manifest = encodeSnapshot({ ...facts, incomplete, tags: {}, pins: [] });
  const snapshot = set.put({ ...manifest, id });
  await repository.manifests.save(set, writer);
  return snapshot;
}

/** A whole backup at one moment. */
export async function backup(world: World, files: readonly FileChunks[], path = '/data'): Promise<SnapshotId> {
  await using repository = await world.open('backup');
  await using writer = await repository.writer(identity, { signal: never });
  const objects: ObjectId[] = [];
  for (const file of files) objects.push(await putFile(writer, file));
  const id = await putSnapshot(repository, writer, { path, files: objects, nowMs: world.clock.nowMs() });
  await writer.finish();
  return id;
}

export async function deleteSnapshot(world: World, id: SnapshotId): Promise<void> {
  await using repository = await world.open('deleter');
  await using writer = await repository.writer(identity, { signal: never });
  const set = await repository.manifests.load({ signal: never });
  set.delete(id);
  await repository.manifests.save(set, writer);
  await writer.finish();
}

export interface MaintainOptions {
  readonly mode?: 'auto' | 'quick' | 'full';
  readonly dryRun?: boolean;
  readonly client?: string;
  readonly store?: BlobStore;
  readonly onWarning?: (text: string) => void;
}

export async function maintainWorld(world: World, options: MaintainOptions = {}): Promise<MaintenanceResult> {
  const { mode = 'full', dryRun = false, client = 'maintainer', store, onWarning = () => undefined } = options;
  await using repository = await world.open(client, store);
  const { clock, rng } = world;
  const folder = join(world.folder, `${client}-maintenance`);
  const request = { mode, dryRun, onTask: () => undefined, onWarning, signal: never };
  return await maintain({ repository, clock, rng, identity, folder }, request);
}
