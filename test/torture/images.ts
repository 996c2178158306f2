/** Whole images in memory, and what differs between two of them, in blocks of 4 KiB. */
import { open } from 'node:fs/promises';
import { blockBytes } from '../../src/changes/compare-maps.ts';
import { extentEnd, type Extent } from '../../src/volume/extent.ts';

const stepBytes = 1024 * 1024;
const zeros = Buffer.alloc(blockBytes);

/** Reads a file into `into`, which is long enough. @returns the part of it that was filled */
export async function readImage(path: string, into: Buffer): Promise<Buffer> {
  await using file = await open(path, 'r');
  const { size } = await file.stat();
  for (let offset = 0; offset < size;) {
    const { bytesRead } = await file.read(into, offset, Math.min(8 * stepBytes, size - offset), offset);
    if (bytesRead === 0) throw new Error(`${path} ends at ${offset}`);
    offset += bytesRead;
  }
  return into.subarray(0, size);
}

/** One byte a block of the target: 1 where it differs from the base, which reads as zeros past its end. */
export function differingBlocks(base: Buffer, target: Buffer): Uint8Array {
  const differs = new Uint8Array(target.length / blockBytes);
  for (let step = 0; step < target.length; step += stepBytes) {
    const end = Math.min(step + stepBytes, target.length);
    if (end <= base.length && target.compare(base, step, end, step, end) === 0) continue;
    for (let offset = step; offset < end; offset += blockBytes) {
      const isEqual =
        offset < base.length
          ? target.compare(base, offset, offset + blockBytes, offset, offset + blockBytes) === 0
          : isZero(target, offset);
      if (!isEqual) differs[offset / blockBytes] = 1;
    }
  }
  return differs;
}

export function isZero(image: Buffer, offset: number): boolean {
  return image.compare(zeros, 0, blockBytes, offset, offset + blockBytes) === 0;
}

/** One byte a block: 1 where it lies in an extent as a whole. */
export function namedBlocks(extents: readonly Extent[], sizeBytes: number): Uint8Array {
  const named = new Uint8Array(sizeBytes / blockBytes);
  for (const range of extents) {
    named.fill(1, Math.ceil(range.offset / blockBytes), Math.floor(extentEnd(range) / blockBytes));
  }
  return named;
}
