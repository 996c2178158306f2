/** What is asked of the store workers, and in what measure: leaves, extents, bytes. */
import { contentIdOf, type ContentId } from '../repository/content/content-id.ts';
import { leafBytes } from '../repository/tree/volume-layout.ts';
import { extent, extentEnd, type Extent } from '../volume/extent.ts';
import type { LeafRange } from './node-plan.ts';
import { taskBytes } from './store-messages.ts';

/** The ids of leaves whose hashes a worker has sent back to back. */
export function splitHashes(hashes: Uint8Array, hashLengthBytes: number): ContentId[] {
  const ids: ContentId[] = [];
  for (let at = 0; at < hashes.length; at += hashLengthBytes) {
    ids.push(contentIdOf('', hashes.subarray(at, at + hashLengthBytes)));
  }
  return ids;
}

/** Parts of the ranges, in order, that together are at most one task's bytes. */
export function storeTasks(ranges: readonly LeafRange[]): LeafRange[][] {
  const leavesMax = taskBytes / leafBytes;
  const tasks: LeafRange[][] = [];
  let room = 0;
  for (let { first, leaves } of ranges) {
    while (leaves > 0) {
      if (room === 0) {
        tasks.push([]);
        room = leavesMax;
      }
      const taken = Math.min(leaves, room);
      tasks[tasks.length - 1]!.push({ first, leaves: taken });
      first += taken;
      leaves -= taken;
      room -= taken;
    }
  }
  return tasks;
}

export function leafExtent({ first, leaves }: LeafRange, sizeBytes: number): Extent {
  const offset = first * leafBytes;
  return extent(offset, Math.min(leaves * leafBytes, sizeBytes - offset));
}

/** Bytes of whole leaves, also where the last one of a volume is short. */
export function bytesOf(ranges: readonly LeafRange[]): number {
  return ranges.reduce((sum, { leaves }) => sum + leaves * leafBytes, 0);
}

/** Bytes that a list of extents covers once widened to whole leaves; the measure of a run's work. */
export function workBytesOf(touched: readonly Extent[] | undefined, sizeBytes: number): number {
  if (touched === undefined) return sizeBytes;
  let bytes = 0;
  for (const range of touched) {
    const first = Math.floor(range.offset / leafBytes);
    bytes += Math.min(Math.ceil(extentEnd(range) / leafBytes) * leafBytes, sizeBytes) - first * leafBytes;
  }
  return bytes;
}
