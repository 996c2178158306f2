/** Reading the blobs that make a store a repository, before there is a key to open them with. Imports little: programs begin here. */
import { blobId, type BlobId, type BlobStore } from '../../blobs/blob-store.ts';
import { hasCode } from '../../std/dray-error.ts';
import { RepositoryError } from '../repository-error.ts';
import { decodeFormatBlob, formatBlobId, type FormatBlob } from './format-blob.ts';

export const blobcfgId: BlobId = blobId('kopia.blobcfg');

interface ReadOptions {
  readonly signal: AbortSignal;
}

/** Real ones have about 1 KiB; Kopia limits its replicas to 65,000 bytes. */
const formatBlobBytesMax = 1024 * 1024;

/** @throws {RepositoryError} `repository-missing`, `repository-foreign`, `unsupported`; {BlobError} */
export async function readFormat(store: BlobStore, { signal }: ReadOptions): Promise<FormatBlob> {
  const bytes = await getIfPresent(store, formatBlobId, { signal });
  if (bytes !== undefined) return decodeFormatBlob(bytes);
  for await (const { id } of store.list('', { signal })) {
    throw new RepositoryError('repository-foreign', `${store.description} holds ${id}, but no ${formatBlobId}`);
  }
  throw new RepositoryError('repository-missing', `${store.description} is empty`);
}

/** A format blob, or undefined where there is none. @throws {RepositoryError} `repository-foreign` when it is too long; {BlobError} */
export async function getIfPresent(
  store: BlobStore,
  id: BlobId,
  { signal }: ReadOptions,
): Promise<Uint8Array | undefined> {
  try {
    return await store.get(id, { maxBytes: formatBlobBytesMax, signal });
  } catch (error) {
    if (hasCode(error, 'blob-not-found')) return undefined;
    if (hasCode(error, 'blob-range')) {
      throw new RepositoryError('repository-foreign', `${id} is no format blob: it is too long`, { cause: error });
    }
    throw error;
  }
}
