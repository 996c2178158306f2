/** Which earlier snapshot a backup builds on, and which interrupted run it goes on from. */
import { decodeCheckpoint, checkpointBytesMax, type Checkpoint } from '../repository/manifest/checkpoint.ts';
import { decodeDirectory } from '../repository/manifest/directory.ts';
import type { DirEntry } from '../repository/manifest/dir-entry.ts';
import { imageOf } from '../repository/manifest/image-directory.ts';
import type { ManifestSet } from '../repository/manifest/manifest-set.ts';
import { listSnapshots, resolveSnapshot, type Snapshot } from '../repository/manifest/snapshot.ts';
import type { SnapshotSource } from '../repository/manifest/snapshot-source.ts';
import { entriesOf } from '../repository/object/object-entries.ts';
import { isIndirect, type ObjectId } from '../repository/object/object-id.ts';
import { readObject } from '../repository/object/object-reader.ts';
import type { Repository } from '../repository/repository.ts';
import { RepositoryError } from '../repository/repository-error.ts';
import { decodeVolumeTags, type VolumeTags } from '../repository/tree/volume-tags.ts';
import { hasCode } from '../std/dray-error.ts';
import type { Lineage } from './backup-request.ts';
import { damageOf } from './damage.ts';

/** The directory of an image has two short entries at most. */
const directoryBytesMax = 1024 * 1024;

/** A snapshot of one volume, with what its directory and tags say. */
export interface VolumeSnapshot {
  readonly snapshot: Snapshot;
  readonly object: ObjectId;
  /** The real size, also where the image is padded. */
  readonly sizeBytes: number;
  readonly tags: VolumeTags;
  readonly checkpoint: DirEntry | undefined;
}

/**
 * Reads the directory of a snapshot down to its image.
 * @throws {RepositoryError} `snapshot-kind` when it is not the image of one volume; `corrupt`
 */
export async function openVolumeSnapshot(
  repository: Repository,
  snapshot: Snapshot,
  { signal }: { readonly signal: AbortSignal },
): Promise<VolumeSnapshot> {
  const { rootEntry } = snapshot;
  const tags = decodeVolumeTags(snapshot.tags);
  if (rootEntry.type === 'f') {
    const { object, sizeBytes } = rootEntry;
    return { snapshot, object, sizeBytes: realSize(tags, sizeBytes), tags, checkpoint: undefined };
  }
  // What is larger is not read: the listing of a tree of files may be.
  const listsMore = isIndirect(rootEntry.object) || (rootEntry.summary?.files ?? 0) > 2;
  if (rootEntry.type !== 'd' || listsMore) throw notOneVolume(snapshot);
  const bytes = await readObject(repository, rootEntry.object, { maxBytes: directoryBytesMax, signal });
  const { image, checkpoint } = imageIn(bytes, snapshot);
  return { snapshot, object: image.object, sizeBytes: realSize(tags, image.sizeBytes), tags, checkpoint };
}

function imageIn(directory: Uint8Array, snapshot: Snapshot): ReturnType<typeof imageOf> {
  try {
    return imageOf(decodeDirectory(directory), `snapshot ${snapshot.id}`);
  } catch (error) {
    throw hasCode(error, 'unsupported') ? notOneVolume(snapshot, { cause: error }) : error;
  }
}

function notOneVolume({ id, source }: Snapshot, options?: ErrorOptions): RepositoryError {
  return new RepositoryError(
    'snapshot-kind',
    `snapshot ${id} of ${source.path} is not the image of one volume`,
    options,
  );
}

/** A tag may only shorten the image: by the padding of its last chunk. */
function realSize(tags: VolumeTags, imageBytes: number): number {
  const { sizeBytes } = tags;
  return sizeBytes !== undefined && sizeBytes <= imageBytes ? sizeBytes : imageBytes;
}

/** @throws {RepositoryError} `snapshot-missing`, `snapshot-ambiguous` for a parent that was named */
export function chooseParent(
  set: ManifestSet,
  lineage: Lineage,
  wanted: 'auto' | 'none' | { readonly snapshot: string },
): Snapshot | undefined {
  if (wanted === 'none') return undefined;
  if (wanted === 'auto') {
    const whole = listSnapshots(set, lineage.source).snapshots.filter(({ incomplete }) => incomplete === undefined);
    return whole.findLast(({ tags }) => lineage.canServe(decodeVolumeTags(tags))) ?? whole.at(-1);
  }
  const parent = resolveSnapshot(set, wanted.snapshot);
  if (parent.incomplete === undefined) return parent;
  throw new RepositoryError('snapshot-missing', `snapshot ${parent.id} is the checkpoint of an unfinished backup`);
}

export interface ParentChoice {
  readonly base: VolumeSnapshot | undefined;
  /** Why there is no base, where there might have been one. */
  readonly reason: string | undefined;
}

/**
 * The snapshot to build on. With `auto` one that is damaged at its root, or that is no volume, is no reason to
 * fail: nothing needs it but speed. One that was named must serve.
 * @throws {RepositoryError} as `chooseParent` and `openVolumeSnapshot`; {BlobError} when the store does not answer
 */
export async function openParent(
  { repository, set }: { readonly repository: Repository; readonly set: ManifestSet },
  lineage: Lineage,
  wanted: 'auto' | 'none' | { readonly snapshot: string },
  { signal }: { readonly signal: AbortSignal },
): Promise<ParentChoice> {
  const parent = chooseParent(set, lineage, wanted);
  if (parent === undefined) return { base: undefined, reason: undefined };
  if (wanted !== 'auto') return { base: await openVolumeSnapshot(repository, parent, { signal }), reason: undefined };
  try {
    const base = await openVolumeSnapshot(repository, parent, { signal });
    await readRoot(repository, base.object, signal);
    return { base, reason: undefined };
  } catch (error) {
    signal.throwIfAborted();
    if (hasCode(error, 'snapshot-kind')) return { base: undefined, reason: `no parent: ${error.message}` };
    return { base: undefined, reason: `no parent: snapshot ${parent.id} is damaged: ${damageOf(error)}` };
  }
}

/** Reads the beginning of the list that an image is. */
async function readRoot(repository: Repository, object: ObjectId, signal: AbortSignal): Promise<void> {
  if (!isIndirect(object)) return;
  for await (const _ of entriesOf(repository, object, { signal })) return;
}

export interface Resumable {
  readonly volume: VolumeSnapshot;
  readonly checkpoint: Checkpoint;
}

/** The newest checkpoint of this very work. One that cannot be read is no reason to fail: the work is done again. */
export async function findResumable(
  parts: { readonly repository: Repository; readonly set: ManifestSet },
  source: Partial<SnapshotSource>,
  wanted: Omit<Checkpoint, 'done'>,
  { signal }: { readonly signal: AbortSignal },
): Promise<Resumable | undefined> {
  const { snapshots } = listSnapshots(parts.set, source);
  for (const snapshot of snapshots.filter(({ incomplete }) => incomplete !== undefined).toReversed()) {
    try {
      const volume = await openVolumeSnapshot(parts.repository, snapshot, { signal });
      if (volume.checkpoint === undefined) continue;
      const { object } = volume.checkpoint;
      const bytes = await readObject(parts.repository, object, { maxBytes: checkpointBytesMax, signal });
      const checkpoint = decodeCheckpoint(bytes);
      if (isSameWork(checkpoint, wanted)) return { volume, checkpoint };
    } catch (error) {
      if (!(error instanceof RepositoryError)) throw error;
    }
  }
  return undefined;
}

function isSameWork(a: Omit<Checkpoint, 'done'>, b: Omit<Checkpoint, 'done'>): boolean {
  return (
    a.sourceId === b.sourceId &&
    a.sizeBytes === b.sizeBytes &&
    a.layout === b.layout &&
    a.parent === b.parent &&
    a.changes === b.changes
  );
}
