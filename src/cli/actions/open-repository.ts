/** From what the user said to an open repository: location with its layers, password, cache. */
import { availableParallelism } from 'node:os';

import { parseRepositoryUrl, type BlobStoreLocation } from '../../blobs/location.ts';
import { openBlobStore } from '../../blobs/open-blob-store.ts';
import { createRateBucket } from '../../blobs/rate.ts';
import { defaultRetry } from '../../blobs/retry.ts';
import { Repository } from '../../repository/repository.ts';
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
  const store = await openBlobStore(location, { signal, clock, rng });
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

export function workersOf({ parallel }: { readonly parallel: number | undefined }): number {
  return parallel ?? availableParallelism();
}
