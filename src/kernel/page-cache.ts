import { cachestat, KernelError, pageBytes, posixFadvise } from './sys.ts';

const POSIX_FADV_DONTNEED = 4;

/**
 * Bytes of an open file or device that the page cache holds, or undefined where the kernel cannot tell (before Linux
 * 6.5, or a file that is neither ours nor open for writing).
 */
export function cachedBytes(fd: number): number | undefined {
  const range = Buffer.alloc(16); // offset 0, length 0: to the end
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
  const bytes = cachedBytes(fd);
  return bytes === undefined ? undefined : Math.min(1, bytes / sizeBytes);
}

/** Asks the kernel to forget clean cached pages of the file. A hint: dirty pages stay. */
export function dropCached(fd: number): void {
  posixFadvise(fd, { offset: 0, lengthBytes: 0 }, POSIX_FADV_DONTNEED);
}
