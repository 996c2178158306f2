/**
 * A fragmented volume gathered into long extents while it is used, without a change appearing in its history. A stretch
 * is copied into one contiguous piece of a file of its own; then the file system itself is asked to let the volume share
 * that copy (FIDEDUPERANGE), which it does only where, under its own locks, both hold the same bytes. What was written
 * meanwhile differs and stays as it is. Snapshots that had shared the old blocks are given the same copy, so that a
 * comparison of extents finds them equal, as before. A kill at any point leaves a volume that is partly gathered.
 */
import assert from 'node:assert/strict';
import { mkdir, open, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { alignedBuffer } from '../kernel/aligned-memory.ts';
import { extentFlags, mapExtents, type MappedExtent } from '../kernel/extent-map.ts';
import { FileLock } from '../kernel/lock-file.ts';
import { dedupeRange } from '../kernel/reflink.ts';
import { fallocate } from '../kernel/sys.ts';
import { randomHex } from '../std/rng.ts';
import { extent, extentEnd, type Extent } from '../volume/extent.ts';
import { coalesce, intersectExtents } from '../volume/extents.ts';
import { holdSnapshot, holdVolume } from './hold-image.ts';
import { withPoolErrors } from './pool-error.ts';
import { imageName } from './pool-layout.ts';
import type { Pool } from './pool.ts';
import { rewritePrefix } from './recover-staging.ts';
import { roomOf } from './room.ts';
import { removeTree } from './staging.ts';

export interface RewriteOptions {
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
  readonly signal: AbortSignal;
}

export interface RewriteResult {
  /** Bytes that lie together now. */
  readonly gatheredBytes: number;
  /** Bytes that were written to meanwhile, and stay where they are. */
  readonly busyBytes: number;
  /** There was no room for a copy: the rest was left. */
  readonly stoppedForRoom: boolean;
}

/** A stretch is at least this long, and a volume has about a thousand of them. */
const stretchBytesMin = 64 * 1024 * 1024;
const stretchBytesMax = 1024 * 1024 * 1024;
const stretchesWanted = 1024;
/** A stretch of this few extents is left alone. */
const extentsGood = 4;
const copyBytes = 4 * 1024 * 1024;
/** What one write meanwhile keeps from being gathered. */
const pieceBytes = 1024 * 1024;
const extentsAtOnce = 4096;

/** @throws {PoolError} `pool-volume-missing`, `pool-in-use`, `pool-io` */
export async function rewriteVolume(
  pool: Pool,
  name: string,
  { onProgress, signal }: RewriteOptions,
): Promise<RewriteResult> {
  const volume = pool.volume(name);
  const { image, sizeBytes } = volume;
  await using open_ = new AsyncDisposableStack();
  open_.use(await holdVolume(pool, volume, { signal }));
  const live = await openImage(open_, image, 'r+');
  const snapshots: FileHandle[] = [];
  for (const snapshot of pool.snapshots(name)) {
    open_.use(await holdSnapshot(pool, snapshot, { signal }));
    snapshots.push(await openImage(open_, snapshot.image, 'r'));
  }
  const folder = join(pool.layout.staging, `${rewritePrefix}${randomHex(pool.rng, 8)}`);
  open_.defer(async () => await removeTree(folder));
  open_.use(await pool.change(async () => await makeHeld(pool, folder, signal), { signal }));
  const step = Math.min(
    stretchBytesMax,
    Math.max(stretchBytesMin, 2 ** Math.ceil(Math.log2(sizeBytes / stretchesWanted))),
  );
  const result = { gatheredBytes: 0, busyBytes: 0, stoppedForRoom: false };
  for (let offset = 0; offset < sizeBytes; offset += step) {
    signal.throwIfAborted();
    onProgress(offset, sizeBytes);
    const stretch = extent(offset, Math.min(step, sizeBytes - offset));
    const { availableBytes, reserveBytes } = await roomOf(pool);
    if (availableBytes < reserveBytes + stretch.lengthBytes) return { ...result, stoppedForRoom: true };
    const done = await withPoolErrors(
      `rewrite ${offset}+${stretch.lengthBytes} of volume ${name}`,
      async () => await gather({ live, snapshots, copyPath: join(folder, imageName) }, stretch, { signal }),
    );
    result.gatheredBytes += done.gatheredBytes;
    result.busyBytes += done.busyBytes;
  }
  return result;
}

/** Under the pool's lock, so that nobody takes it for something that was left. */
async function makeHeld(pool: Pool, folder: string, signal: AbortSignal): Promise<Disposable> {
  await mkdir(folder, { mode: 0o700 });
  return await FileLock.take(folder, { mode: 'shared', waitMs: 0, create: false, clock: pool.clock, signal });
}

async function openImage(stack: AsyncDisposableStack, path: string, flags: 'r' | 'r+'): Promise<FileHandle> {
  const file = await withPoolErrors(`open ${path}`, async () => await open(path, flags));
  stack.defer(async () => await file.close());
  return file;
}

interface Images {
  readonly live: FileHandle;
  readonly snapshots: readonly FileHandle[];
  readonly copyPath: string;
}

type Gathered = Pick<RewriteResult, 'gatheredBytes' | 'busyBytes'>;

async function gather(
  { live, snapshots, copyPath }: Images,
  stretch: Extent,
  { signal }: { readonly signal: AbortSignal },
): Promise<Gathered> {
  const map = await mapOf(live, stretch, signal);
  if (map.length <= extentsGood) return { gatheredBytes: 0, busyBytes: 0 };
  const data = [...coalesce(map.filter(isPlain).map(({ logical, lengthBytes }) => extent(logical, lengthBytes)))];
  const copy = await open(copyPath, 'wx+', 0o600);
  try {
    await copyData(live, copy, { data, from: stretch.offset, signal });
    // Only now: of what is written before the copy is made the snapshots hold nothing, and one block that differs would
    // keep all of a piece from being shared with them.
    const mapNow = await mapOf(live, stretch, signal);
    const shared: { readonly file: FileHandle; readonly ranges: readonly Extent[] }[] = [];
    for (const file of snapshots) {
      const ranges = sameBlocks(mapNow, await mapOf(file, stretch, signal));
      if (ranges.length > 0) shared.push({ file, ranges });
    }
    const result = { gatheredBytes: 0, busyBytes: 0 };
    const sharing = new Sharing(copy, stretch.offset);
    for (const piece of data.flatMap((range) => cutUp(range, pieceBytes))) {
      signal.throwIfAborted();
      const same = await sharing.with(live, piece);
      if (same) result.gatheredBytes += piece.lengthBytes;
      else result.busyBytes += piece.lengthBytes;
      if (!same) continue;
      for (const { file, ranges } of shared) {
        for (const part of intersectExtents([piece], ranges)) await sharing.with(file, part);
      }
    }
    return result;
  } finally {
    // Cut first: XFS gives back the blocks of a file that is only unlinked when it likes.
    await copy.truncate(0);
    await copy.close();
    await unlink(copyPath);
  }
}

/** A contiguous copy: allocated as a whole, then filled. Durable before anybody shares it. */
async function copyData(
  live: FileHandle,
  copy: FileHandle,
  { data, from, signal }: { readonly data: readonly Extent[]; readonly from: number; readonly signal: AbortSignal },
): Promise<void> {
  const buffer = alignedBuffer(copyBytes);
  for (const { offset, lengthBytes } of data) await fallocate(copy.fd, 0, { offset: offset - from, lengthBytes });
  for (const { offset, lengthBytes } of data.flatMap((range) => cutUp(range, copyBytes))) {
    signal.throwIfAborted();
    const { bytesRead } = await live.read(buffer, 0, lengthBytes, offset);
    const { bytesWritten } = await copy.write(buffer, 0, bytesRead, offset - from);
    // What is missing would only not be shared; it never happens on these file systems.
    assert(bytesWritten === bytesRead, 'a write that stopped half way');
  }
  await copy.sync();
}

/** A copy of a stretch, given to the files that hold the same. */
class Sharing {
  readonly #copy: FileHandle;
  readonly #from: number;
  readonly #read = alignedBuffer(pieceBytes);

  constructor(copy: FileHandle, from: number) {
    this.#copy = copy;
    this.#from = from;
  }

  /**
   * `part` is a piece or less.
   * @returns false when the target holds other bytes by now
   */
  async with(target: FileHandle, part: Extent): Promise<boolean> {
    // The kernel compares page by page, and reads each that it does not have by itself: read at once they are there.
    await target.read(this.#read, 0, part.lengthBytes, part.offset);
    for (let done = 0; done < part.lengthBytes;) {
      const offset = part.offset + done;
      const { same, dedupedBytes } = await dedupeRange(
        { fd: this.#copy.fd, offset: offset - this.#from },
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

function cutUp({ offset, lengthBytes }: Extent, most: number): Extent[] {
  const pieces: Extent[] = [];
  for (let done = 0; done < lengthBytes; done += most) {
    pieces.push(extent(offset + done, Math.min(most, lengthBytes - done)));
  }
  return pieces;
}

async function mapOf(file: FileHandle, stretch: Extent, signal: AbortSignal): Promise<MappedExtent[]> {
  const found: MappedExtent[] = [];
  for (let offset: number = stretch.offset; offset < extentEnd(stretch);) {
    const range = { offset, lengthBytes: extentEnd(stretch) - offset };
    const page = await mapExtents(file.fd, range, { extentsMax: extentsAtOnce, signal });
    for (const one of page.extents) found.push(one);
    offset = page.coveredTo;
  }
  return found;
}

/** Nothing but what tells nothing about the bytes. */
function isPlain({ flags }: MappedExtent): boolean {
  const { last, shared, merged } = extentFlags;
  return (flags & ~(last | shared | merged)) === 0;
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
