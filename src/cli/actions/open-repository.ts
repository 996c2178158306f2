/** From what the user said to an open repository: location with its layers, password, cache. */
import { availableParallelism } from 'node:os';

import type { BlobStore } from '../../blobs/blob-store.ts';
import { parseRepositoryUrl, type BlobStoreLocation } from '../../blobs/location.ts';
import { openBlobStore } from '../../blobs/open-blob-store.ts';
import { createRateBucket } from '../../blobs/rate.ts';
import { defaultRetry } from '../../blobs/retry.ts';
import { RepositoryError } from '../../repository/repository-error.ts';
import { Repository } from '../../repository/repository.ts';
import { hasCode } from '../../std/dray-error.ts';
import type { CliContext } from '../shell/cli-context.ts';

export interface OpenRepository extends AsyncDisposable {
  readonly repository: Repository;
  /** For worker threads, which open the same store for themselves. */
  readonly store: BlobStoreLocation;
}

/** Where the repository is, with retries, and with one rate for all threads when there is a limit. */
export function storeLocation(
  context: CliContext,
  options: { readonly url?: string | undefined; readonly rateBytesPerSecond?: number | undefined } = {},
): BlobStoreLocation {
  const { rateBytesPerSecond } = options;
  const location = { ...parseRepositoryUrl(context.repositoryUrl(options.url)), retry: defaultRetry };
  if (rateBytesPerSecond === undefined) return location;
  return { ...location, rate: { bytesPerSecond: rateBytesPerSecond, bucket: createRateBucket() } };
}

export async function openRepository(
  context: CliContext,
  options: { readonly rateBytesPerSecond?: number | undefined } = {},
): Promise<OpenRepository> {
  const { clock, rng, signal } = context;
  const location = storeLocation(context, options);
  const password = await context.password();
  const store = await openExisting(location, context);
  const cacheDirectory = context.cacheDirectory();
  try {
    const repository = await Repository.open({ store, clock, rng }, { password, cacheDirectory, signal });
    return {
      repository,
      store: location,
      async [Symbol.asyncDispose]() {
        await repository[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await store[Symbol.asyncDispose]();
    throw error;
  }
}

/** A folder that is not there is a repository that is not there. */
async function openExisting(location: BlobStoreLocation, { clock, rng, signal }: CliContext): Promise<BlobStore> {
  try {
    return await openBlobStore(location, { signal, clock, rng });
  } catch (error) {
    if (!hasCode(error, 'blob-not-found')) throw error;
    throw new RepositoryError('repository-missing', `there is no repository at ${location.path}`, { cause: error });
  }
}

export function workersOf({ parallel }: { readonly parallel: number | undefined }): number {
  return parallel ?? availableParallelism();
}
