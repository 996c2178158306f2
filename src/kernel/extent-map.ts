/**
 * Where the bytes of a file lie on its file system: FS_IOC_FIEMAP, a page at a time. What a map says is true for the
 * moment in which it was read, and each page has its own; addresses name bytes only where the flags say nothing else.
 * Whoever compares maps decides what that is worth. Specified in Documentation/filesystems/fiemap.rst of Linux.
 */
import assert from 'node:assert/strict';
import type { DataRange } from './holes.ts';
import { ioctlAsync, KernelError } from './sys.ts';

const FS_IOC_FIEMAP = 0xc020660b;
const FIEMAP_FLAG_SYNC = 1;
const headerBytes = 32;
const extentBytes = 56;
/** The most extents of one page: its buffer takes 448 KiB, the call some 25 ms. */
const extentsPerPageMax = 8192;
/** Of those who go through all of a map. */
const extentsPerPage = 4096;

export const extentFlags = {
  last: 0x1,
  unknown: 0x2,
  delalloc: 0x4,
  encoded: 0x8,
  encrypted: 0x80,
  notAligned: 0x100,
  inline: 0x200,
  tail: 0x400,
  unwritten: 0x800,
  merged: 0x1000,
  shared: 0x2000,
} as const;

/** Their address is none, or names the whole of what was compressed: it does not move along within the extent. */
const withoutAddress = extentFlags.unknown | extentFlags.delalloc | extentFlags.encoded | extentFlags.inline;

/** In bytes. `physical` is an address within the file system, which need not be one of a device. */
export interface MappedExtent {
  readonly logical: number;
  readonly physical: number;
  readonly lengthBytes: number;
  readonly flags: number;
}

export interface ExtentPage {
  readonly extents: readonly MappedExtent[];
  readonly coveredTo: number;
}

/**
 * One page of a file's map: the extents from `range.offset` on, clipped to `range`, sorted and disjoint. Dirty pages
 * are written out first. The page covers `range.offset` up to `coveredTo`: what no extent covers there is a hole. It is the
 * end of the range when all is told; else the next page begins there. The descriptor belongs to the call until it settles.
 * @throws {KernelError} `kernel-unsupported`; `kernel-failed` with EUCLEAN for a map that makes no sense
 */
export async function mapExtents(
  fd: number,
  range: DataRange,
  { extentsMax, signal }: { readonly extentsMax: number; readonly signal: AbortSignal },
): Promise<ExtentPage> {
  assert(extentsMax > 0 && extentsMax <= extentsPerPageMax, `not a number of extents: ${extentsMax}`);
  signal.throwIfAborted();
  const end = range.offset + range.lengthBytes;
  if (range.lengthBytes === 0) return { extents: [], coveredTo: end };
  const answer = Buffer.allocUnsafeSlow(headerBytes + extentsMax * extentBytes);
  request(answer, { ...range, flags: FIEMAP_FLAG_SYNC, extentsMax });
  await ioctlAsync(fd, FS_IOC_FIEMAP, answer);
  signal.throwIfAborted();
  return decodePage(answer, range);
}

/**
 * Flags that say nothing of where the bytes of an extent are, or whether there are any. `shared` is not "unchanged": a third
 * file may share the block.
 */
export const harmlessFlags: number = extentFlags.last | extentFlags.merged | extentFlags.shared;

/**
 * Whether an extent goes on where the one before it ends, in the file and on disk. The file system keeps them as one, and
 * tells them apart only because somebody else shares a part.
 */
export function goesOn(before: MappedExtent, { logical, physical, flags }: MappedExtent): boolean {
  const { lengthBytes } = before;
  const isNext = before.logical + lengthBytes === logical && before.physical + lengthBytes === physical;
  return isNext && ((before.flags ^ flags) & ~harmlessFlags) === 0;
}

/** All extents of a range, a page at a time, each as it was at its own moment. @throws {KernelError} as `mapExtents` */
export async function* mapPages(
  fd: number,
  range: DataRange,
  { signal }: { readonly signal: AbortSignal },
): AsyncGenerator<readonly MappedExtent[], void, undefined> {
  const end = range.offset + range.lengthBytes;
  for (let offset = range.offset; offset < end;) {
    const page = await mapExtents(fd, { offset, lengthBytes: end - offset }, { extentsMax: extentsPerPage, signal });
    yield page.extents;
    offset = page.coveredTo;
  }
}

/** How many extents the file has. What is not written out yet counts as the kernel has it in mind. @throws {KernelError} */
export async function countExtents(fd: number): Promise<number> {
  const answer = Buffer.allocUnsafeSlow(headerBytes);
  request(answer, { offset: 0, lengthBytes: undefined, flags: 0, extentsMax: 0 });
  await ioctlAsync(fd, FS_IOC_FIEMAP, answer);
  return answer.readUInt32LE(20);
}

interface MapRequest {
  readonly offset: number;
  /** Undefined: all that there is. */
  readonly lengthBytes: number | undefined;
  readonly flags: number;
  readonly extentsMax: number;
}

function request(into: Buffer, { offset, lengthBytes, flags, extentsMax }: MapRequest): void {
  into.fill(0, 0, headerBytes);
  into.writeBigUInt64LE(BigInt(offset), 0);
  into.writeBigUInt64LE(lengthBytes === undefined ? 2n ** 64n - 1n : BigInt(lengthBytes), 8);
  into.writeUInt32LE(flags, 16);
  into.writeUInt32LE(extentsMax, 24);
}

/**
 * Reads what the kernel filled in. Exported for tests: no kernel here answers nonsense on demand.
 * @throws {KernelError} EUCLEAN
 */
export function decodePage(answer: Buffer, range: DataRange): ExtentPage {
  const view = new DataView(answer.buffer, answer.byteOffset, answer.length);
  const end = range.offset + range.lengthBytes;
  const count = view.getUint32(20, true);
  if (headerBytes + count * extentBytes > answer.length) throw nonsense('more extents than there was room for');
  const extents: MappedExtent[] = [];
  let told = range.offset;
  let isLast = count === 0;
  for (let index = 0; index < count; index += 1) {
    const at = headerBytes + index * extentBytes;
    const start = readSize(view, at);
    const stop = start + readSize(view, at + 16);
    const flags = view.getUint32(at + 40, true);
    // The first may begin before the range; each of the others begins where the one before ended, or later.
    if (stop <= start || stop <= told || (index > 0 && start < told)) {
      throw nonsense(`extent ${start} to ${stop} after ${told}`);
    }
    told = stop;
    isLast = (flags & extentFlags.last) !== 0;
    if (start >= end) continue;
    const logical = Math.max(start, range.offset);
    const physical = readSize(view, at + 8) + ((flags & withoutAddress) === 0 ? logical - start : 0);
    extents.push({ logical, physical, lengthBytes: Math.min(stop, end) - logical, flags });
  }
  // A page that is not full does not prove that all is told; one that says so or is empty does.
  return { extents, coveredTo: isLast ? end : Math.min(told, end) };
}

function readSize(view: DataView, offset: number): number {
  const size = view.getUint32(offset + 4, true) * 2 ** 32 + view.getUint32(offset, true);
  if (!Number.isSafeInteger(size)) throw nonsense(`${size} bytes`);
  return size;
}

function nonsense(what: string): KernelError {
  return new KernelError(`extent map says ${what}`, 'EUCLEAN');
}
