/** Block devices: their sizes, and ranges made zero by the device itself. Numbers from linux/fs.h. */
import { ioctl, ioctlAsync } from './sys.ts';

const BLKGETSIZE64 = 0x80081272;
const BLKSSZGET = 0x1268;
const BLKZEROOUT = 0x127f;

export interface DeviceRange {
  /** Both a multiple of the logical block. */
  readonly offset: number;
  readonly lengthBytes: number;
}

/** `fs.stat` says 0 for a block device. @throws {KernelError} */
export function deviceSizeBytes(fd: number): number {
  const answer = Buffer.alloc(8);
  ioctl(fd, BLKGETSIZE64, answer);
  return Number(answer.readBigUInt64LE());
}

/** The smallest unit that the device reads and writes. @throws {KernelError} */
export function deviceBlockBytes(fd: number): number {
  const answer = Buffer.alloc(4);
  ioctl(fd, BLKSSZGET, answer);
  return answer.readUInt32LE();
}

/**
 * Makes the range read as zeros, by the device's own means where it has them, else by writes in the kernel. It cannot
 * be interrupted: cut long ranges. The descriptor belongs to the call until it settles.
 * @throws {KernelError} `kernel-unsupported`: write zeros instead
 */
export async function zeroOut(fd: number, range: DeviceRange): Promise<void> {
  await ioctlAsync(fd, BLKZEROOUT, rangeArgument(range));
}

function rangeArgument({ offset, lengthBytes }: DeviceRange): Uint8Array {
  const argument = Buffer.alloc(16);
  argument.writeBigUInt64LE(BigInt(offset), 0);
  argument.writeBigUInt64LE(BigInt(lengthBytes), 8);
  return argument;
}
