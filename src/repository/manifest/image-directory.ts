/**
 * The directory of a snapshot of one volume: one file, the image, named after its source so that `kopia snapshot
 * restore` yields a file of that name; while the backup runs a second file that records what is done.
 */
import type { Nanoseconds } from '../../std/go-time.ts';
import type { ObjectId } from '../object/object-id.ts';
import { encodeDirectory, onlyFile } from './directory.ts';
import type { Directory } from './directory.ts';
import type { DirectorySummary, DirEntry } from './dir-entry.ts';

/** Sorts before or after the image, whatever: it is found by its name. */
export const checkpointName = '.dray-checkpoint.json';

export interface ImageFile {
  readonly name: string;
  readonly object: ObjectId;
  readonly sizeBytes: number;
  readonly modified: Nanoseconds;
}

export interface ImageDirectory {
  readonly bytes: Uint8Array;
  readonly summary: DirectorySummary;
}

/** @param checkpoint the record of an unfinished backup, stored as an object of its own. */
export function imageDirectory(
  image: ImageFile,
  checkpoint?: { readonly object: ObjectId; readonly sizeBytes: number },
): ImageDirectory {
  const file = { type: 'f', mode: 0o600, uid: 0, gid: 0 };
  const entries: DirEntry[] = [{ ...file, ...image, name: safeName(image.name) }];
  if (checkpoint !== undefined)
    entries.push({ ...file, ...checkpoint, name: checkpointName, modified: image.modified });
  const summary: DirectorySummary = {
    sizeBytes: entries.reduce((sum, entry) => sum + entry.sizeBytes, 0),
    files: entries.length,
    symlinks: 0,
    dirs: 1,
    maxTime: image.modified,
    incomplete: checkpoint === undefined ? undefined : 'checkpoint',
    failed: 0,
  };
  return { bytes: encodeDirectory({ entries, summary }), summary };
}

/** The entry of a snapshot's directory that names this image. */
export function rootEntry(name: string, object: ObjectId, { summary, modified }: RootFacts): DirEntry {
  return { name: safeName(name), type: 'd', mode: 0o700, sizeBytes: 0, modified, uid: 0, gid: 0, object, summary };
}

export interface RootFacts {
  readonly summary: DirectorySummary;
  readonly modified: Nanoseconds;
}

/**
 * What a directory says of its one volume, also as Velero writes it.
 * @throws {RepositoryError} `unsupported` when it is not the directory of one volume
 */
export function imageOf(
  directory: Directory,
  what: string,
): { readonly image: DirEntry; readonly checkpoint: DirEntry | undefined } {
  const checkpoint = directory.entries.find((entry) => entry.name === checkpointName);
  const entries = directory.entries.filter((entry) => entry !== checkpoint);
  return { image: onlyFile({ entries }, what), checkpoint };
}

/** A base name for an image: never empty, never a path, never the name of the record beside it. */
export function safeName(path: string): string {
  const base = path.split('/').findLast((part) => part !== '') ?? '';
  // eslint-disable-next-line no-control-regex -- Control characters are what this is about.
  const clean = base.toWellFormed().replaceAll(/[\u0000-\u001f\u007f\\]/g, '_');
  return clean === '' || clean === '.' || clean === '..' || clean === checkpointName ? 'volume' : clean;
}
