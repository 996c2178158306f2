/**
 * What a snapshot, or a path inside one, holds: a volume, a tree of files, or one file of it. Kopia has no word for it: a
 * volume is a folder of one file, and so may be a folder. What wrote volumes leaves marks; without them a folder of one
 * file is either, as its reader likes.
 */
import { decodeDirectory } from '../repository/manifest/directory.ts';
import type { DirEntry } from '../repository/manifest/dir-entry.ts';
import { findEntry } from '../repository/manifest/find-entry.ts';
import type { Snapshot } from '../repository/manifest/snapshot.ts';
import { readObject } from '../repository/object/object-reader.ts';
import type { Repository } from '../repository/repository.ts';
import { RepositoryError } from '../repository/repository-error.ts';
import { decodeVolumeTags } from '../repository/tree/volume-tags.ts';
import { hasCode } from '../std/dray-error.ts';
import { openVolumeSnapshot, type VolumeSnapshot } from './backup-parent.ts';

export type SnapshotContent =
  | { readonly kind: 'volume'; readonly volume: VolumeSnapshot }
  | { readonly kind: 'folder'; readonly root: DirEntry }
  /** `volume` is its bytes. */
  | { readonly kind: 'file'; readonly entry: DirEntry; readonly volume: VolumeSnapshot };

interface Call {
  readonly signal: AbortSignal;
}

/**
 * @param asFolder whether a folder of one file, without marks of a volume, is one
 * @throws {RepositoryError} `path-missing`; `snapshot-kind` for a link; `corrupt`
 */
export async function openContent(
  repository: Repository,
  { snapshot, path }: { readonly snapshot: Snapshot; readonly path: readonly string[] },
  { asFolder, signal }: Call & { readonly asFolder: boolean },
): Promise<SnapshotContent> {
  if (path.length > 0) {
    const entry = await findEntry(repository, snapshot.rootEntry, path, { signal });
    if (entry.type === 'd') return { kind: 'folder', root: entry };
    return { kind: 'file', entry, volume: fileOf(snapshot, entry, path) };
  }
  try {
    const volume = await openVolumeSnapshot(repository, snapshot, { signal });
    const either = asFolder && snapshot.rootEntry.type === 'd' && !(await isMarked(repository, snapshot, { signal }));
    return either ? { kind: 'folder', root: snapshot.rootEntry } : { kind: 'volume', volume };
  } catch (error) {
    if (!hasCode(error, 'snapshot-kind') || snapshot.rootEntry.type !== 'd') throw error;
    return { kind: 'folder', root: snapshot.rootEntry };
  }
}

function fileOf(snapshot: Snapshot, { type, object, sizeBytes }: DirEntry, path: readonly string[]): VolumeSnapshot {
  if (type === 'f') return { snapshot, object, sizeBytes, tags: {}, checkpoint: undefined };
  throw new RepositoryError(
    'snapshot-kind',
    type === 's'
      ? `${path.join('/')} is a link, which is restored with its folder`
      : `${path.join('/')} is neither a file nor a folder`,
  );
}

/** Whether a program that backs up volumes wrote it: by its tags, or by a name that is the path of a device. */
async function isMarked(repository: Repository, { tags, rootEntry }: Snapshot, { signal }: Call): Promise<boolean> {
  const { layout, sizeBytes } = decodeVolumeTags(tags);
  if (layout !== undefined || sizeBytes !== undefined) return true;
  const bytes = await readObject(repository, rootEntry.object, { maxBytes: 1024 * 1024, signal });
  return decodeDirectory(bytes).entries.some(({ name }) => name.includes('/'));
}
