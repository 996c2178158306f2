import { errnoOf } from '../../std/errno.ts';
import { BlobError } from '../blob-store.ts';

const codes: Readonly<Record<string, BlobError['code']>> = {
  ENOENT: 'blob-not-found',
  ENOTDIR: 'blob-not-found',
  EEXIST: 'blob-exists',
  EACCES: 'blob-denied',
  EPERM: 'blob-denied',
  EROFS: 'blob-read-only',
  ENOSPC: 'blob-no-space',
  EDQUOT: 'blob-no-space',
  EFBIG: 'blob-no-space',
  ENAMETOOLONG: 'blob-name',
};

/** Runs `work`; its system errors become BlobErrors with `doing` as message, everything else passes. */
export async function withBlobErrors<T>(doing: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw blobError(error, doing);
  }
}

export function blobError(error: unknown, doing: string): unknown {
  const errno = error instanceof BlobError ? undefined : errnoOf(error);
  if (errno === undefined) return error;
  return new BlobError(codes[errno] ?? 'blob-unavailable', doing, { cause: error });
}
