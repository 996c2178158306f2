import type { Dirent } from 'node:fs';
import { lstat, opendir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '../../std/atomic-write.ts';
import { blobId, BlobError, type BlobMetadata } from '../blob-store.ts';
import { blobNameAt, mayHold, shardedPath, type Shards } from './shards.ts';

/** Files looked at together; the memory of a listing is this much and the names of one level's directories. */
const statsAtOnce = 64;
const namesPerRead = 256;

export interface ListParts {
  readonly root: string;
  readonly shards: Shards;
  readonly prefix: string;
  readonly signal: AbortSignal;
}

/**
 * Walks the directories that can hold the prefix. A file counts only where the sharding rules put its name, so that
 * each blob comes once and can be read; what vanishes meanwhile is left out. Throws system errors.
 */
export async function* listBlobs(parts: ListParts): AsyncGenerator<BlobMetadata, void, undefined> {
  yield* walk([], parts);
}

async function* walk(directories: readonly string[], parts: ListParts): AsyncGenerator<BlobMetadata, void, undefined> {
  const { root, prefix, signal } = parts;
  const path = join(root, ...directories);
  const below: string[] = [];
  let names: string[] = [];
  for await (const entry of entriesOf(path, { optional: directories.length > 0 })) {
    signal.throwIfAborted();
    if (await isDirectory(path, entry)) {
      if (mayHold(directories.join('') + entry.name, prefix)) below.push(entry.name);
    } else if (blobNameAt(directories, entry.name)?.startsWith(prefix)) {
      names.push(entry.name);
      if (names.length === statsAtOnce) {
        yield* await measure(directories, names, parts);
        names = [];
      }
    }
  }
  yield* await measure(directories, names, parts);
  if (directories.length >= depthMax(parts.shards)) return;
  for (const name of below) yield* walk([...directories, name], parts);
}

function depthMax({ default: shards, overrides }: Shards): number {
  return Math.max(shards.length, ...overrides.map((rule) => rule.shards.length));
}

async function* entriesOf(path: string, { optional }: { readonly optional: boolean }): AsyncGenerator<Dirent> {
  try {
    yield* await opendir(path, { bufferSize: namesPerRead });
  } catch (error) {
    if (!optional || !isErrno(error, 'ENOENT')) throw error;
  }
}

/** Some file systems do not say in a directory what its entries are. */
async function isDirectory(path: string, entry: Dirent): Promise<boolean> {
  if (entry.isDirectory()) return true;
  if (entry.isFile() || entry.isSymbolicLink() || entry.name.endsWith('.f')) return false;
  const stats = await lstat(join(path, entry.name)).catch(() => undefined);
  return stats?.isDirectory() ?? false;
}

async function measure(
  directories: readonly string[],
  names: readonly string[],
  parts: ListParts,
): Promise<BlobMetadata[]> {
  const found = await Promise.all(names.map((name) => metadataAt(directories, name, parts)));
  return found.filter((metadata) => metadata !== undefined);
}

async function metadataAt(
  directories: readonly string[],
  file: string,
  { root, shards }: ListParts,
): Promise<BlobMetadata | undefined> {
  try {
    const id = blobId(blobNameAt(directories, file) ?? '');
    const home = shardedPath(shards, id);
    if (home.directories.join('/') !== directories.join('/')) return undefined;
    const stats = await stat(join(root, ...directories, file), { bigint: true });
    if (!stats.isFile()) return undefined;
    return { id, lengthBytes: Number(stats.size), timestampMs: Number(stats.mtimeNs / 1_000_000n) };
  } catch (error) {
    if (isErrno(error, 'ENOENT') || (error instanceof BlobError && error.code === 'blob-name')) return undefined;
    throw error;
  }
}
