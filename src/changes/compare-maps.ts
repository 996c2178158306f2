/**
 * Which bytes of two files can differ, judged by where a file system keeps them. If at one instant both map a block to
 * the same address, and the address names the bytes, then the block is equal in both; nothing else is taken for equal.
 *
 * The base's map is given twice, read before and after the target's: where both agree the base owned its addresses while
 * the target's map was read, so one instant is had. An address that does not name the bytes (compressed, inline, not yet
 * given) equals nothing, not even itself: btrfs tells the same address for different parts of a compressed extent.
 */
import assert from 'node:assert/strict';

import { extentFlags, harmlessFlags, type MappedExtent } from '../kernel/extent-map.ts';

/** The unit of sharing. On a file system with smaller blocks more counts as changed. */
export const blockBytes = 4096;

export interface MapsToCompare {
  readonly base: readonly MappedExtent[];
  readonly target: readonly MappedExtent[];
  /** The base's map once more, read after the target's. */
  readonly baseAgain: readonly MappedExtent[];
}

/** What all three maps cover, from `start` to `end`, exclusive. */
export interface MapWindow {
  readonly start: number;
  readonly end: number;
}

export interface MapDifference {
  /** Offsets: the starts and the exclusive ends of what may differ, in turn; sorted, and no two ranges touch. */
  readonly changed: readonly number[];
  /** The base moved while it was being read: worth another try. */
  readonly moved: boolean;
}

export function compareMaps({ base, target, baseAgain }: MapsToCompare, { start, end }: MapWindow): MapDifference {
  const maps = [new MapWalk(base), new MapWalk(target), new MapWalk(baseAgain)] as const;
  const [before, between, after] = maps;
  const changed: number[] = [];
  let moved = false;
  for (let position = start; position < end;) {
    for (const map of maps) map.enter(position);
    const next = Math.min(before.until, between.until, after.until, end);
    // NaN equals nothing, itself included.
    const isSame = before.place === between.place && between.place === after.place;
    const isUnknown = Number.isNaN(before.place) && Number.isNaN(after.place);
    if (before.place !== after.place && !isUnknown) moved = true;
    if (!isSame) {
      if (changed.at(-1) === position) changed[changed.length - 1] = next;
      else changed.push(position, next);
    }
    position = next;
  }
  return { changed, moved };
}

/** Reads as zeros: nothing is there, or nothing was written. */
const zeros = Infinity;
const unknown = NaN;

/** A map, read from front to back. */
class MapWalk {
  readonly #extents: readonly MappedExtent[];
  #next = 0;
  /** From an offset to the address of its byte; `zeros`; or `unknown`. */
  place: number = zeros;
  /** Where `place` ends. */
  until = 0;

  constructor(extents: readonly MappedExtent[]) {
    this.#extents = extents;
  }

  /** Moves on to `position`, never back. */
  enter(position: number): void {
    if (position < this.until) return;
    let found = this.#extents[this.#next];
    while (found !== undefined && found.logical + found.lengthBytes <= position) {
      const end = found.logical + found.lengthBytes;
      this.#next += 1;
      found = this.#extents[this.#next];
      assert(found === undefined || found.logical >= end, 'the extents of a map are not sorted');
    }
    if (found === undefined || found.logical > position) {
      this.place = zeros;
      this.until = found?.logical ?? Infinity;
    } else {
      this.place = placeOf(found);
      this.until = found.logical + found.lengthBytes;
    }
  }
}

function placeOf({ logical, physical, lengthBytes, flags }: MappedExtent): number {
  const telling = flags & ~harmlessFlags;
  if (telling === extentFlags.unwritten) return zeros;
  // No file keeps data at address 0; a file system that says so does not know.
  const isPlain = telling === 0 && physical > 0;
  const isAligned = logical % blockBytes === 0 && physical % blockBytes === 0 && lengthBytes % blockBytes === 0;
  return isPlain && isAligned ? physical - logical : unknown;
}
