import { cachestat, KernelError, pageBytes, posixFadvise } from './sys.ts';

const POSIX_FADV_DONTNEED = 4;

/** From `offset` on; a length of 0 means to the end. */
export interface CacheRange {
  readonly offset: number;
  readonly lengthBytes: number;
}

/**
 * Bytes of an open file or device that the page cache holds, counted in whole pages that the range touches, or undefined
 * where the kernel cannot tell (before Linux 6.5, or a file that is neither ours nor open for writing).
 */
export function cachedBytes(fd: number, { offset, lengthBytes }: CacheRange): number | undefined {
  const range = Buffer.alloc(16);
  range.writeBigUInt64LE(BigInt(offset), 0);
  range.writeBigUInt64LE(BigInt(lengthBytes), 8);
  const answer = Buffer.alloc(40);
  try {
    cachestat(fd, range, answer);
  } catch (error) {
    if (error instanceof KernelError) return undefined;
    throw error;
  }
  return Number(answer.readBigUInt64LE(0)) * pageBytes();
}

/** The cached part of `sizeBytes`, 0 to 1 (an empty file is all cached), or undefined where the kernel cannot tell. */
export function cachedFraction(fd: number, sizeBytes: number): number | undefined {
  if (sizeBytes === 0) return 1;
  const bytes = cachedBytes(fd, { offset: 0, lengthBytes: 0 });
  return bytes === undefined ? undefined : Math.min(1, bytes / sizeBytes);
}

/** Asks the kernel to forget clean cached pages of the file. A hint: dirty pages stay. */
export function dropCached(fd: number): void {
  posixFadvise(fd, { offset: 0, lengthBytes: 0 }, POSIX_FADV_DONTNEED);
}
