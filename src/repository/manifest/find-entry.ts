/** `SNAPSHOT/path/inside`: which snapshot, and the entry of that path. */
import type { ContentReader } from '../object/content-access.ts';
import { RepositoryError } from '../repository-error.ts';
import { directoryEntries } from './directory-entries.ts';
import type { DirEntry } from './dir-entry.ts';

export interface SnapshotPath {
  /** An id or its beginning. */
  readonly snapshot: string;
  /** The names on the way down; none for the root. */
  readonly path: readonly string[];
}

/** Ids hold no slash: the first one begins the path. Slashes too many mean nothing. */
export function parseSnapshotPath(text: string): SnapshotPath {
  const [snapshot = '', ...path] = text.split('/');
  return { snapshot, path: path.filter((name) => name !== '') };
}

/**
 * Goes down from a root by names that are equal to those asked for, whatever they look like. Reads the listings on the way.
 * @throws {RepositoryError} `path-missing`; `corrupt`, `content-missing`
 */
export async function findEntry(
  reader: ContentReader,
  root: DirEntry,
  path: readonly string[],
  options: { readonly signal: AbortSignal },
): Promise<DirEntry> {
  let entry = root;
  for (const [depth, name] of path.entries()) {
    const found = entry.type === 'd' ? await childOf(reader, entry, name, options) : undefined;
    if (found === undefined) {
      const where = path.slice(0, depth).join('/') || 'the snapshot';
      throw new RepositoryError('path-missing', `${where} has no entry ${JSON.stringify(name)}`);
    }
    entry = found;
  }
  return entry;
}

async function childOf(
  reader: ContentReader,
  { object }: DirEntry,
  name: string,
  options: { readonly signal: AbortSignal },
): Promise<DirEntry | undefined> {
  for await (const batch of directoryEntries(reader, object, options)) {
    const found = batch.find((entry) => entry.name === name);
    if (found !== undefined) return found;
  }
  return undefined;
}
