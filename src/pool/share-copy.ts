/**
 * A volume, and those of its snapshots that had the same blocks, given the same copy. The file system itself is asked
 * (FIDEDUPERANGE), and does it only where, under its own locks, both hold the same bytes. As snapshots get what the volume
 * gets, a comparison of extents finds them equal, as before.
 */
import assert from 'node:assert/strict';
import type { FileHandle } from 'node:fs/promises';
import { alignedBuffer } from '../kernel/aligned-memory.ts';
import { goesOn, harmlessFlags, mapPages, type MappedExtent } from '../kernel/extent-map.ts';
import { dedupeRange } from '../kernel/reflink.ts';
import { extent, extentEnd, type Extent } from '../volume/extent.ts';
import { coalesce } from '../volume/extents.ts';
import type { VolumeImages } from './volume-images.ts';

/** What one write meanwhile keeps from being shared. */
export const pieceBytes: number = 1024 * 1024;

interface SignalOption {
  readonly signal: AbortSignal;
}

/** A part of the volume that is also a part of a copy. */
export interface CopiedPart {
  readonly copy: FileHandle;
  /** Where the copy begins in the volume. */
  readonly from: number;
}

export interface SharedPiece {
  readonly piece: Extent;
  /** Otherwise the volume holds other bytes by now, or is gone. */
  readonly same: boolean;
}

export class Sharing {
  readonly #images: VolumeImages;
  readonly #copied: CopiedPart;
  readonly #read = alignedBuffer(pieceBytes);

  constructor(images: VolumeImages, copied: CopiedPart) {
    this.#images = images;
    this.#copied = copied;
  }

  /** Under the pool's lock all the while, one piece after the other. None is longer than `pieceBytes`. */
  async *share(pieces: readonly Extent[], { signal }: SignalOption): AsyncGenerator<SharedPiece, void, undefined> {
    const sizeBytes = this.#images.sizeNow() ?? 0;
    const files = [...(await this.#images.snapshotsNow())];
    for (const piece of pieces) {
      signal.throwIfAborted();
      yield { piece, same: extentEnd(piece) <= sizeBytes && (await this.#everywhere(piece, files, { signal })) };
    }
  }

  /** @returns false when the volume holds other bytes by now: then nobody gets the copy */
  async #everywhere(piece: Extent, snapshots: readonly FileHandle[], options: SignalOption): Promise<boolean> {
    // Only now: of what was written before the copy was made the snapshots hold nothing, and one block that differs would
    // keep all of a piece from being shared with them. And only of this piece: the maps of more would be read anew for
    // each turn at the pool's lock, from every snapshot.
    const map = await mapOf(this.#images.live, piece, options);
    const parts: (readonly [file: FileHandle, part: Extent])[] = [];
    for (const file of snapshots) {
      for (const part of sameBlocks(map, await mapOf(file, piece, options))) parts.push([file, part]);
    }
    const same = await this.#with(this.#images.live, piece);
    if (same) for (const [file, part] of parts) await this.#with(file, part);
    return same;
  }

  /** @returns false when the target holds other bytes by now */
  async #with(target: FileHandle, part: Extent): Promise<boolean> {
    const { copy, from } = this.#copied;
    // The kernel compares page by page, and reads each that it does not have by itself: read at once they are there.
    await target.read(this.#read, 0, part.lengthBytes, part.offset);
    for (let done = 0; done < part.lengthBytes;) {
      const offset = part.offset + done;
      const { same, dedupedBytes } = await dedupeRange(
        { fd: copy.fd, offset: offset - from },
        { fd: target.fd, offset },
        part.lengthBytes - done,
      );
      if (!same) return false;
      assert(dedupedBytes > 0, 'a deduplication that came nowhere');
      done += dedupedBytes;
    }
    return true;
  }
}

export async function mapOf(file: FileHandle, stretch: Extent, { signal }: SignalOption): Promise<MappedExtent[]> {
  const found: MappedExtent[] = [];
  for await (const extents of mapPages(file.fd, stretch, { signal })) {
    for (const one of extents) found.push(one);
  }
  return found;
}

/** In how many places the extents of a map lie. */
export function placesOf(map: readonly MappedExtent[]): number {
  return map.filter((one, at) => at === 0 || !goesOn(map[at - 1]!, one)).length;
}

/** Nothing but what tells nothing about the bytes. */
export function isPlain({ flags }: MappedExtent): boolean {
  return (flags & ~harmlessFlags) === 0;
}

/** Where both files have the same blocks. */
function sameBlocks(a: readonly MappedExtent[], b: readonly MappedExtent[]): Extent[] {
  const ranges: Extent[] = [];
  let [i, j] = [0, 0];
  for (let x = a[i], y = b[j]; x !== undefined && y !== undefined; x = a[i], y = b[j]) {
    const [endX, endY] = [x.logical + x.lengthBytes, y.logical + y.lengthBytes];
    const start = Math.max(x.logical, y.logical);
    const end = Math.min(endX, endY);
    const same = x.physical - x.logical === y.physical - y.logical;
    if (start < end && same && isPlain(x) && isPlain(y)) ranges.push(extent(start, end - start));
    if (endX <= endY) i += 1;
    else j += 1;
  }
  return [...coalesce(ranges)];
}
