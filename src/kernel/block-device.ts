/** Block devices: their numbers and sizes, and ranges made zero by the device itself. Numbers of calls from linux/fs.h. */
import { readFileSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { basename } from 'node:path';
import { ioctl, ioctlAsync } from './sys.ts';

const BLKGETSIZE64 = 0x80081272;
const BLKSSZGET = 0x1268;
const BLKZEROOUT = 0x127f;

/** Fields of a device's `stat`. */
const writesAt = 4;
const discardsAt = 11;

export interface DeviceRange {
  /** Both a multiple of the logical block. */
  readonly offset: number;
  readonly lengthBytes: number;
}

/** `major:minor` from a stat's number, as glibc's gnu_dev_major and gnu_dev_minor cut it. */
export function deviceNumber(rdev: number): string {
  const value = BigInt(rdev);
  const major = ((value >> 8n) & 0xfffn) | ((value >> 32n) & 0xfffff000n);
  const minor = (value & 0xffn) | ((value >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

/** The kernel's name for a device number (`major:minor`), such as `vda1`. */
export async function nameOfNumber(number: string): Promise<string | undefined> {
  const link = await realpath(`/sys/dev/block/${number}`).catch(() => undefined);
  return link === undefined ? undefined : basename(link);
}

/**
 * Begins to count what a device (`major:minor`) has done: writes, and ranges discarded, that have ended. What it returns tells
 * how many since; undefined where the kernel does not say. Documentation/block/stat.rst of Linux.
 */
export function writesSince(number: string): () => number | undefined {
  const begun = changesOf(number);
  return () => {
    const now = changesOf(number);
    return begun === undefined || now === undefined ? undefined : now - begun;
  };
}

function changesOf(number: string): number | undefined {
  let text: string;
  try {
    text = readFileSync(`/sys/dev/block/${number}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  const fields = text.trim().split(/\s+/).map(Number);
  const changes = (fields[writesAt] ?? Number.NaN) + (fields[discardsAt] ?? 0);
  return Number.isSafeInteger(changes) ? changes : undefined;
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
