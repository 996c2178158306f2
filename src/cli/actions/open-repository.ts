/** From an opening that may have begun already to the open repository, with its cache. */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

import type { BlobStore } from '../../blobs/blob-store.ts';
import { CacheFile } from '../../blobs/cache-file.ts';
import { CacheStore } from '../../blobs/cache.ts';
import { createCounts, readCounts, type StoreCounts } from '../../blobs/count.ts';
import type { BlobStoreLocation } from '../../blobs/location.ts';
import { lockOptions } from '../../repository/format/blobcfg.ts';
import { openFormatBlob } from '../../repository/format/format-store.ts';
import { repositoryId } from '../../repository/repository-id.ts';
import { Repository } from '../../repository/repository.ts';
import { formatSize } from '../../std/format-size.ts';
import type { CliContext } from '../shell/cli-context.ts';
import type { ExitCode } from '../shell/exit-code.ts';
import type { RepositoryOpening } from './begin-opening.ts';

/** An action on a repository, which is being opened while the action is loaded. */
export type RepositoryAction<Options> = (
  context: CliContext,
  options: Options,
  opening: RepositoryOpening,
) => Promise<ExitCode>;

export interface OpenRepository extends AsyncDisposable {
  readonly repository: Repository;
  /** For worker threads, which open the same store for themselves. */
  readonly store: BlobStoreLocation;
  /** What the repository's store was asked for so far, by all threads. */
  readonly requests: () => StoreCounts;
}

export interface OpenOptions {
  /**
   * Read metadata through the local cache, where the store is far away. Only for commands that read and refer to nothing
   * anew: what a cache has kept may be lost in the store.
   */
  readonly cached?: boolean;
}

export async function openRepository(
  context: CliContext,
  opening: RepositoryOpening,
  { cached = false }: OpenOptions = {},
): Promise<OpenRepository> {
  const { clock, rng, signal } = context;
  const cacheDirectory = context.cacheDirectory();
  const { location, store: bare, ...keyed } = await opening.take();
  const uniqueId = repositoryId(keyed.blob);
  const store = cached && location.kind === 's3' ? await cachedStore(context, bare, uniqueId) : bare;
  try {
    const opened = openFormatBlob(keyed, { clock });
    const repository = await Repository.openWith({ store, clock, rng }, opened, { cacheDirectory, signal });
    return {
      repository,
      store: { ...location, lock: lockOptions(opened.retention) },
      requests: () => readCounts(location.count?.counts ?? createCounts()),
      async [Symbol.asyncDispose]() {
        await repository[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await store[Symbol.asyncDispose]();
    throw error;
  }
}

/** Of Kopia's packs only those of metadata: folders, lists and manifests. */
async function cachedStore(context: CliContext, store: BlobStore, scope: string): Promise<BlobStore> {
  const path = join(context.cacheDirectory(), 'read-cache');
  const file = await CacheFile.open({ path, sizeBytes: context.cacheSizeBytes(), clock: context.clock });
  return file === undefined ? store : new CacheStore({ store, file }, { prefixes: ['q'], scope });
}

/** For people. */
export function requestsText({
  gets,
  getBytes,
  hedgedGets,
  puts,
  putBytes,
  lists,
  stats,
  removes,
  lockedRemoves,
}: StoreCounts): string {
  const others = lists + stats + removes;
  const refused = lockedRemoves === 0 ? '' : `, ${lockedRemoves} removals refused by a lock`;
  const again = hedgedGets === 0 ? '' : `, ${hedgedGets} of them second ones`;
  return `${gets} reads (${formatSize(getBytes)}${again}), ${puts} writes (${formatSize(putBytes)}), ${others} others${refused}`;
}

/** Each worker takes about 45 MiB; with so many, all of it stays below 256 MiB above an idle Node. */
const defaultWorkersMax = 4;

export function workersOf({ parallel }: { readonly parallel: number | undefined }): number {
  return parallel ?? Math.min(availableParallelism(), defaultWorkersMax);
}
