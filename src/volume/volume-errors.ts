import { errnoOf } from '../std/errno.ts';
import { VolumeError } from './block-source.ts';
import { extentEnd, type Extent } from './extent.ts';

type VolumeCode = VolumeError['code'];

const codes: Readonly<Record<string, VolumeCode>> = {
  ENOENT: 'volume-not-found',
  ENOTDIR: 'volume-not-found',
  ENXIO: 'volume-not-found',
  ENODEV: 'volume-not-found',
  EACCES: 'volume-denied',
  EPERM: 'volume-denied',
  EISDIR: 'volume-kind',
  ELOOP: 'volume-kind',
  ESTALE: 'volume-changed',
  EBUSY: 'volume-busy',
  ETXTBSY: 'volume-busy',
  EEXIST: 'volume-exists',
  ENOSPC: 'volume-no-space',
  EDQUOT: 'volume-no-space',
  // A file system that cannot hold a file of this size (ext4 ends below 16 TiB).
  EFBIG: 'volume-no-space',
  EROFS: 'volume-read-only',
};

/** A system error as a VolumeError with `doing` as its message; VolumeErrors and aborts pass unchanged. */
export function volumeError(error: unknown, doing: string): unknown {
  if (error instanceof VolumeError) return error;
  const errno = errnoOf(error);
  if (errno === undefined) return error;
  return new VolumeError(codes[errno] ?? 'volume-io', doing, { cause: error });
}

/** Runs `work` and gives its system errors their code. */
export async function withVolumeErrors<T>(doing: () => string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw volumeError(error, doing());
  }
}

/** @throws {VolumeError} `volume-range` when the range does not lie in the volume or the buffer is too small for it. */
export function checkRange(
  range: Extent,
  {
    sizeBytes,
    path,
    bufferBytes,
  }: { readonly sizeBytes: number; readonly path: string; readonly bufferBytes?: number },
): void {
  const where = `${range.offset}+${range.lengthBytes}`;
  if (extentEnd(range) > sizeBytes) {
    throw new VolumeError('volume-range', `${where} ends past the ${sizeBytes} bytes of ${path}`);
  }
  if (bufferBytes !== undefined && bufferBytes < range.lengthBytes) {
    throw new VolumeError('volume-range', `${where} of ${path} does not fit into ${bufferBytes} bytes`);
  }
}
