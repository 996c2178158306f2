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
  if (error instanceof BlobError || !isSystemError(error)) return error;
  return new BlobError(codes[error.code] ?? 'blob-unavailable', doing, { cause: error });
}

function isSystemError(error: unknown): error is Error & { code: string } {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && /^E[A-Z0-9]+$/.test(error.code);
}
