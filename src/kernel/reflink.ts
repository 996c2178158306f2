/**
 * Files that share their blocks until one of them is written to (XFS and btrfs). A clone costs time for each extent, 10
 * to 60 microseconds, in which writers of the source wait; all of it runs off the main thread. A kill leaves a clone of
 * many extents half made: only what is renamed into place afterwards is whole. Numbers and shapes from linux/fs.h.
 */
import { errnoName } from '../std/errno.ts';
import { ioctlAsync, KernelError } from './sys.ts';

const FICLONERANGE = 0x4020940d;
const FIDEDUPERANGE = 0xc0189436;
/** FILE_DEDUPE_RANGE_DIFFERS */
const differs = 1;

export interface FilePosition {
  readonly fd: number;
  /** In bytes; a multiple of the file system's block. */
  readonly offset: number;
}

/**
 * Makes all of `fromFd`'s content that of `toFd`, from its start on; what `toFd` has beyond stays. The content is that of
 * one moment: dirty pages of the source are written out first. Both descriptors belong to the call until it settles.
 * @throws {KernelError} `kernel-unsupported` where the file system has no reflinks, EXDEV across file systems,
 *   `kernel-no-space`
 */
export async function cloneFile(fromFd: number, toFd: number): Promise<void> {
  // A length of 0 is "to the end": FICLONE is this call with zeros.
  await cloneRange({ fd: fromFd, offset: 0 }, { fd: toFd, offset: 0 }, 0);
}

/** As `cloneFile`, a part: a multiple of the block, or the rest of the source. A length of 0 is the rest. @throws {KernelError} */
export async function cloneRange(from: FilePosition, to: FilePosition, lengthBytes: number): Promise<void> {
  const range = Buffer.alloc(32);
  range.writeBigInt64LE(BigInt(from.fd), 0);
  range.writeBigUInt64LE(BigInt(from.offset), 8);
  range.writeBigUInt64LE(BigInt(lengthBytes), 16);
  range.writeBigUInt64LE(BigInt(to.offset), 24);
  await ioctlAsync(to.fd, FICLONERANGE, range);
}

export interface Deduped {
  /** How far it came: the kernel may stop early, at 16 MiB or less. */
  readonly dedupedBytes: number;
  /** False: the bytes are not the same; nothing was changed. */
  readonly same: boolean;
}

/**
 * Makes the range of `to` share the blocks of `from` if the kernel finds the same bytes in both, which it compares
 * itself under lock: no content can change by this. Callers cut to 16 MiB and go on where it stopped.
 * @throws {KernelError} `kernel-unsupported` without reflinks or for a range past the end
 */
export async function dedupeRange(from: FilePosition, to: FilePosition, lengthBytes: number): Promise<Deduped> {
  const argument = Buffer.alloc(56);
  argument.writeBigUInt64LE(BigInt(from.offset), 0);
  argument.writeBigUInt64LE(BigInt(lengthBytes), 8);
  argument.writeUInt16LE(1, 16);
  argument.writeBigInt64LE(BigInt(to.fd), 24);
  argument.writeBigUInt64LE(BigInt(to.offset), 32);
  await ioctlAsync(from.fd, FIDEDUPERANGE, argument);
  const status = argument.readInt32LE(48);
  if (status < 0) throw new KernelError('dedupe range', errnoName(-status));
  return { dedupedBytes: Number(argument.readBigUInt64LE(40)), same: status !== differs };
}
