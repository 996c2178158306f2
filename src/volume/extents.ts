/** Algebra on extent lists. Every function but `normalizeExtents` takes and gives normal lists (see extent.ts). */
import assert from 'node:assert/strict';
import { extent, extentEnd, type Extent } from './extent.ts';

/** The same bytes as a normal list: sorted, merged where extents touch or overlap, without empty ones. */
export function normalizeExtents(list: readonly Extent[]): Extent[] {
  const sorted = list.filter(({ lengthBytes }) => lengthBytes > 0).sort((a, b) => a.offset - b.offset);
  return [...coalesce(sorted)];
}

/** Merges a list that is sorted by offset but whose members may touch or overlap. */
export function* coalesce(sorted: Iterable<Extent>): Generator<Extent, void, undefined> {
  let start = 0;
  let end = -1;
  for (const range of sorted) {
    if (range.lengthBytes === 0) continue;
    if (range.offset <= end) {
      assert(range.offset >= start, 'extents are not sorted');
      end = Math.max(end, extentEnd(range));
      continue;
    }
    if (end >= 0) yield extent(start, end - start);
    start = range.offset;
    end = extentEnd(range);
  }
  if (end >= 0) yield extent(start, end - start);
}

/** Bytes that are in both lists. */
export function intersectExtents(a: readonly Extent[], b: readonly Extent[]): Extent[] {
  const result: Extent[] = [];
  let i = 0;
  let j = 0;
  for (let left = a[i], right = b[j]; left !== undefined && right !== undefined; left = a[i], right = b[j]) {
    const start = Math.max(left.offset, right.offset);
    const end = Math.min(extentEnd(left), extentEnd(right));
    if (start < end) result.push(extent(start, end - start));
    if (extentEnd(left) <= extentEnd(right)) i += 1;
    else j += 1;
  }
  return [...coalesce(result)];
}

/** Bytes of `list` that are not in `without`. */
export function subtractExtents(list: readonly Extent[], without: readonly Extent[]): Extent[] {
  const result: Extent[] = [];
  let first = 0;
  for (const range of list) {
    let start: number = range.offset;
    const end = extentEnd(range);
    for (let next = without[first]; next !== undefined && extentEnd(next) <= start; next = without[first]) first += 1;
    for (let index = first; start < end; index += 1) {
      const cut = without[index];
      if (cut === undefined || cut.offset >= end) break;
      if (cut.offset > start) result.push(extent(start, cut.offset - start));
      start = extentEnd(cut);
    }
    if (start < end) result.push(extent(start, end - start));
  }
  return result;
}

/** Bytes of `list` that lie within `bounds`. */
export function clipExtents(list: readonly Extent[], bounds: Extent): Extent[] {
  return intersectExtents(list, bounds.lengthBytes === 0 ? [] : [bounds]);
}

/**
 * The smallest list of whole chunks that holds every byte of `list`. Ends are cut at `sizeBytes`, so that only the
 * volume's last chunk may be short. `list` must lie within the volume.
 */
export function alignOutward(
  list: readonly Extent[],
  { chunkBytes, sizeBytes }: { readonly chunkBytes: number; readonly sizeBytes: number },
): Extent[] {
  const whole = list.map((range) => {
    const start = Math.floor(range.offset / chunkBytes) * chunkBytes;
    const end = Math.min(Math.ceil(extentEnd(range) / chunkBytes) * chunkBytes, sizeBytes);
    return extent(start, end - start);
  });
  return [...coalesce(whole)];
}

/** The same bytes in pieces of `mostBytes`, in their order; only the last may be shorter. */
export function cutUp({ offset, lengthBytes }: Extent, mostBytes: number): Extent[] {
  const pieces: Extent[] = [];
  for (let done = 0; done < lengthBytes; done += mostBytes) {
    pieces.push(extent(offset + done, Math.min(mostBytes, lengthBytes - done)));
  }
  return pieces;
}

export function totalBytes(list: Iterable<Extent>): number {
  let sum = 0;
  for (const { lengthBytes } of list) sum += lengthBytes;
  return sum;
}
