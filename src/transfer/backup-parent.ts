/** Which earlier snapshot a backup builds on, and which interrupted run it goes on from. */
import { decodeCheckpoint, checkpointBytesMax, type Checkpoint } from '../repository/manifest/checkpoint.ts';
import { decodeDirectory } from '../repository/manifest/directory.ts';
import { imageOf } from '../repository/manifest/image-directory.ts';
import type { DirEntry } from '../repository/manifest/dir-entry.ts';
import type { ManifestSet } from '../repository/manifest/manifest-set.ts';
import { listSnapshots, resolveSnapshot, type Snapshot } from '../repository/manifest/snapshot.ts';
import type { SnapshotSource } from '../repository/manifest/snapshot-source.ts';
import { readObject } from '../repository/object/object-reader.ts';
import type { ObjectId } from '../repository/object/object-id.ts';
import type { Repository } from '../repository/repository.ts';
import { RepositoryError } from '../repository/repository-error.ts';
import { decodeVolumeTags, type VolumeTags } from '../repository/tree/volume-tags.ts';

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
 * @throws {RepositoryError} `unsupported` when it is not the image of one volume; `corrupt`
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
  if (rootEntry.type !== 'd') throw new RepositoryError('unsupported', `snapshot ${snapshot.id} is no volume`);
  const bytes = await readObject(repository, rootEntry.object, { maxBytes: directoryBytesMax, signal });
  const { image, checkpoint } = imageOf(decodeDirectory(bytes), `snapshot ${snapshot.id}`);
  return { snapshot, object: image.object, sizeBytes: realSize(tags, image.sizeBytes), tags, checkpoint };
}

/** A tag may only shorten the image: by the padding of its last chunk. */
function realSize(tags: VolumeTags, imageBytes: number): number {
  const { sizeBytes } = tags;
  return sizeBytes !== undefined && sizeBytes <= imageBytes ? sizeBytes : imageBytes;
}

/** @throws {RepositoryError} `snapshot-missing`, `snapshot-ambiguous` for a parent that was named */
export function chooseParent(
  set: ManifestSet,
  origin: SnapshotSource,
  wanted: 'auto' | 'none' | { readonly snapshot: string },
): Snapshot | undefined {
  if (wanted === 'none') return undefined;
  if (wanted === 'auto') {
    return listSnapshots(set, origin).snapshots.findLast((snapshot) => snapshot.incomplete === undefined);
  }
  const parent = resolveSnapshot(set, wanted.snapshot);
  if (parent.incomplete === undefined) return parent;
  throw new RepositoryError('snapshot-missing', `snapshot ${parent.id} is the checkpoint of an unfinished backup`);
}

export interface Resumable {
  readonly volume: VolumeSnapshot;
  readonly checkpoint: Checkpoint;
}

/** The newest checkpoint of this very work. One that cannot be read is no reason to fail: the work is done again. */
export async function findResumable(
  parts: { readonly repository: Repository; readonly set: ManifestSet },
  origin: SnapshotSource,
  wanted: Omit<Checkpoint, 'done'>,
  { signal }: { readonly signal: AbortSignal },
): Promise<Resumable | undefined> {
  const { snapshots } = listSnapshots(parts.set, origin);
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
