/**
 * A second look at what seems damaged. While packs were read, which takes hours, others may have moved contents, removed
 * packs and deleted snapshots: so the index, the list of packs and the snapshots are loaded anew, and every suspect is
 * looked for where it is now. What cannot be had then is damage.
 */
import type { BlobId } from '../blobs/blob-store.ts';
import type { ContentId } from '../repository/content/content-id.ts';
import { readLocalIndex } from '../repository/content/pack-format.ts';
import { listSnapshots, type Snapshot } from '../repository/manifest/snapshot.ts';
import type { Repository } from '../repository/repository.ts';
import { mapConcurrent } from '../std/map-concurrent.ts';
import { packLengths } from './check-packs.ts';
import { damageOf, unsupportedOf } from './damage.ts';
import type { Call } from './snapshot-walk.ts';

/** Contents read at once. */
const contentsMax = 8;
/** Whole packs in memory at once. */
const packsMax = 2;

export interface Problem {
  readonly what: string;
  readonly reason: string;
}

export interface Suspects {
  /** And what was wrong with each. */
  readonly contents: ReadonlyMap<ContentId, string>;
  readonly packs: ReadonlyMap<string, string>;
  readonly snapshots: readonly Snapshot[];
  /** Whether the packs were looked at: their lengths are wanted again then. */
  readonly present: boolean;
}

export interface Confirmed {
  readonly lengths: ReadonlyMap<string, number> | undefined;
  /** Contents that cannot be had, deleted ones included: whether that is damage depends on who needs them. */
  readonly contents: ReadonlyMap<ContentId, string>;
  /** Damage that stands on its own: of contents that are not deleted, and of packs that hold any. */
  readonly problems: readonly Problem[];
  /** What was damaged at first and whole at the second look, at the same place: the medium or the memory is not to be trusted. */
  readonly wavering: readonly Problem[];
  /** Those that are still there. */
  readonly snapshots: readonly Snapshot[];
}

/** @throws {RepositoryError} when the index or the manifests cannot be loaded; {BlobError} */
export async function confirmDamage(repository: Repository, suspects: Suspects, call: Call): Promise<Confirmed> {
  await repository.index.verifyTables();
  const places = new Map(Array.from(suspects.contents.keys(), (id) => [id, placeOf(repository, id)]));
  await repository.index.refresh(call);
  const lengths = suspects.present ? await packLengths(repository.store, call) : undefined;
  const packs = await damagedPacks(repository, suspects.packs.keys(), lengths, call);
  const contents = await damagedContents(repository, suspects.contents.keys(), lengths, call);
  const problems = [...packs].map(([blob, reason]) => ({ what: `pack ${blob}`, reason }));
  for (const [id, reason] of contents) {
    if (repository.index.find(id)?.deleted === false) problems.push({ what: `content ${id}`, reason });
  }
  const wavering: Problem[] = [];
  for (const [id, reason] of suspects.contents) {
    const place = places.get(id);
    if (!contents.has(id) && place !== undefined && place === placeOf(repository, id)) {
      wavering.push({ what: `content ${id}`, reason });
    }
  }
  return { lengths, contents, problems, wavering, snapshots: await present(repository, suspects.snapshots, call) };
}

/** Undefined for what the index does not have. */
function placeOf({ index }: Repository, id: ContentId): string | undefined {
  const entry = index.find(id);
  return entry && `${entry.packBlob} ${entry.packOffset}`;
}

async function damagedContents(
  repository: Repository,
  suspects: Iterable<ContentId>,
  lengths: ReadonlyMap<string, number> | undefined,
  { signal }: Call,
): Promise<Map<ContentId, string>> {
  const damaged = new Map<ContentId, string>();
  const looked = mapConcurrent(suspects, { limit: contentsMax, signal }, async (id, call) => {
    return { id, reason: await contentFault(repository, id, lengths, call) };
  });
  for await (const { id, reason } of looked) if (reason !== undefined) damaged.set(id, reason);
  return damaged;
}

/** Undefined also for one that the index does not know any more: a snapshot that needs it lacks it for that reason. */
async function contentFault(
  { index, store, codec }: Repository,
  id: ContentId,
  lengths: ReadonlyMap<string, number> | undefined,
  { signal }: Call,
): Promise<string | undefined> {
  const entry = index.find(id);
  if (entry === undefined) return undefined;
  // One of thousands in a lost pack needs no request of its own.
  if (lengths?.has(entry.packBlob) === false) return `pack ${entry.packBlob} is missing`;
  try {
    const range = { offset: entry.packOffset, lengthBytes: entry.packedLength };
    codec.open(entry, await store.get(entry.packBlob, { range, signal }), { verify: true });
    return undefined;
  } catch (error) {
    return unsupportedOf(error) === undefined ? damageOf(error) : undefined;
  }
}

/** Packs that hold nothing but deleted contents, or nothing at all, may be removed at any time. */
async function damagedPacks(
  repository: Repository,
  suspects: Iterable<string>,
  lengths: ReadonlyMap<string, number> | undefined,
  { signal }: Call,
): Promise<Map<BlobId, string>> {
  const suspected = new Set(suspects);
  const living = new Set<BlobId>();
  if (suspected.size > 0) {
    for (const { packBlob, deleted } of repository.index.entries()) {
      if (!deleted && suspected.has(packBlob)) living.add(packBlob);
    }
  }
  const damaged = new Map<BlobId, string>();
  const looked = mapConcurrent(living, { limit: packsMax, signal }, async (blob, call) => {
    return {
      blob,
      reason: lengths?.has(blob) === true ? await packFault(repository, blob, call) : `pack ${blob} is missing`,
    };
  });
  for await (const { blob, reason } of looked) if (reason !== undefined) damaged.set(blob, reason);
  return damaged;
}

async function packFault({ store, codec }: Repository, blob: BlobId, { signal }: Call): Promise<string | undefined> {
  try {
    readLocalIndex(await store.get(blob, { signal }), codec);
    return undefined;
  } catch (error) {
    return damageOf(error);
  }
}

/** A snapshot that Kopia has pinned or described anew has another manifest, and so another id, but the same root. */
async function present(repository: Repository, snapshots: readonly Snapshot[], call: Call): Promise<Snapshot[]> {
  const now = listSnapshots(await repository.manifests.load(call)).snapshots;
  const ids = new Map(now.map((snapshot) => [snapshot.id, snapshot]));
  const roots = new Map(now.map((snapshot) => [snapshot.rootEntry.object, snapshot]));
  const found = snapshots.map(({ id, rootEntry }) => ids.get(id) ?? roots.get(rootEntry.object));
  return [...new Set(found)].filter((snapshot) => snapshot !== undefined);
}
