/**
 * A volume, and those of its snapshots that had the same blocks, given the same copy. The file system itself is asked
 * (FIDEDUPERANGE), and does it only where, under its own locks, both hold the same bytes. As snapshots get what the volume
 * gets, a comparison of extents finds them equal, as before. That is done under the pool's lock, a moment at a time: no
 * snapshot is taken between the volume's turn and its snapshots', and what somebody wants to remove, he only has to wait for.
 */
import assert from 'node:assert/strict';
import type { FileHandle } from 'node:fs/promises';
import { alignedBuffer } from '../kernel/aligned-memory.ts';
import { goesOn, harmlessFlags, mapPages, type MappedExtent } from '../kernel/extent-map.ts';
import { dedupeRange } from '../kernel/reflink.ts';
import { extent, extentEnd, type Extent } from '../volume/extent.ts';
import { coalesce, cutUp } from '../volume/extents.ts';
import type { Pool } from './pool.ts';
import type { VolumeImages } from './volume-images.ts';

/** What one write meanwhile keeps from being shared. */
const pieceBytesMax = 1024 * 1024;
/** Where there are more snapshots pieces are smaller, so that one does not hold the lock for long. */
const pieceBytesMin = 64 * 1024;
const snapshotsOfLargest = 32;
/** For so long others have to wait for the pool's lock, and then are given time to take it. */
const lockedMs = 500;
const othersMs = 60;

interface SignalOption {
  readonly signal: AbortSignal;
}

/** A part of the volume that is also a part of a copy. */
export interface CopiedPart {
  readonly copy: FileHandle;
  /** Where the copy begins in the volume. */
  readonly from: number;
}

export interface Shared {
  /** Bytes that lie together now. */
  readonly gatheredBytes: number;
  /** Bytes that were written to meanwhile, and stay where they are. */
  readonly busyBytes: number;
}

export class Sharing {
  readonly #pool: Pool;
  readonly #images: VolumeImages;
  readonly #copied: CopiedPart;
  readonly #read = alignedBuffer(pieceBytesMax);
  /** Since others had time to take the lock. */
  #lockedForMs = 0;

  constructor(pool: Pool, images: VolumeImages, copied: CopiedPart) {
    this.#pool = pool;
    this.#images = images;
    this.#copied = copied;
  }

  /** Takes the pool's lock as often as it needs to. The copy of these ranges is durable. */
  async share(ranges: readonly Extent[], { signal }: SignalOption): Promise<Shared> {
    const pieces = ranges.flatMap((range) => cutUp(range, pieceBytesWith(this.#images.snapshotCount())));
    let shared: Shared = { gatheredBytes: 0, busyBytes: 0 };
    while (pieces.length > 0) {
      if (this.#lockedForMs >= lockedMs) {
        await this.#pool.clock.sleep(othersMs, { signal });
        this.#lockedForMs = 0;
      }
      const turn = await this.#pool.change(async () => await this.#turn(pieces, { signal }), { signal });
      shared = addShared(shared, turn);
    }
    return shared;
  }

  /** Under the pool's lock: takes pieces off the front, until others shall have it. */
  async #turn(pieces: Extent[], { signal }: SignalOption): Promise<Shared> {
    const { clock } = this.#pool;
    const sizeBytes = this.#images.sizeNow() ?? 0;
    const files = [...(await this.#images.snapshotsNow())];
    let [gatheredBytes, busyBytes] = [0, 0];
    while (this.#lockedForMs < lockedMs) {
      const piece = pieces.shift();
      if (piece === undefined) break;
      signal.throwIfAborted();
      const beganMs = clock.monotonicMs();
      const same = extentEnd(piece) <= sizeBytes && (await this.#everywhere(piece, files, { signal }));
      this.#lockedForMs += clock.monotonicMs() - beganMs;
      if (same) gatheredBytes += piece.lengthBytes;
      else busyBytes += piece.lengthBytes;
    }
    return { gatheredBytes, busyBytes };
  }

  /** @returns false when the volume holds other bytes, or nothing, by now: then nobody gets the copy */
  async #everywhere(piece: Extent, snapshots: readonly FileHandle[], options: SignalOption): Promise<boolean> {
    // Only now: of what was written before the copy was made the snapshots hold nothing, and one block that differs would
    // keep all of a piece from being shared with them. And only of this piece: the maps of more would be read anew for
    // each turn at the pool's lock, from every snapshot.
    const map = await mapOf(this.#images.live, piece, options);
    // What was discarded reads as the zeros that were copied of it: it would be given blocks, and count as changed.
    if (!isFilled(map, piece)) return false;
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

export function addShared(a: Shared, b: Shared): Shared {
  return { gatheredBytes: a.gatheredBytes + b.gatheredBytes, busyBytes: a.busyBytes + b.busyBytes };
}

/** What is looked at in every snapshot before the lock can be given back. */
function pieceBytesWith(snapshots: number): number {
  let bytes = pieceBytesMax;
  for (let more = snapshots; more > snapshotsOfLargest && bytes > pieceBytesMin; more /= 2) bytes /= 2;
  return bytes;
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

function isFilled(map: readonly MappedExtent[], { lengthBytes }: Extent): boolean {
  const filled = map.filter(isPlain).reduce((sum, one) => sum + one.lengthBytes, 0);
  return filled === lengthBytes;
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
