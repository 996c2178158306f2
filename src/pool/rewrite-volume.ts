/**
 * A fragmented volume gathered into long extents while it is used, without a change appearing in its history. For each
 * stretch one contiguous piece of a file of its own is reserved; a little at a time is copied there, and the volume and its
 * snapshots are let share the copy (`share-copy.ts`) before anybody writes much to what was copied. A kill at any point
 * leaves a volume that is partly gathered; the piece of it that was on its way, 1 MiB at most, may count as changed since
 * a snapshot then.
 */
import assert from 'node:assert/strict';
import { mkdir, open, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { alignedBuffer } from '../kernel/aligned-memory.ts';
import { FileLock } from '../kernel/lock-file.ts';
import { fallocate } from '../kernel/sys.ts';
import { hasCode } from '../std/dray-error.ts';
import { randomHex } from '../std/rng.ts';
import { extent, type Extent } from '../volume/extent.ts';
import { coalesce, cutUp } from '../volume/extents.ts';
import { PoolError, withPoolErrors } from './pool-error.ts';
import { imageName } from './pool-layout.ts';
import type { Pool } from './pool.ts';
import { rewritePrefix } from './recover-staging.ts';
import { roomOf } from './room.ts';
import { addShared, isPlain, mapOf, placesOf, Sharing, type Shared } from './share-copy.ts';
import { removeTree } from './staging.ts';
import { VolumeImages } from './volume-images.ts';

export interface RewriteOptions {
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
  readonly signal: AbortSignal;
}

export interface RewriteResult extends Shared {
  /** There was no room for a copy: the rest was left. */
  readonly stoppedForRoom: boolean;
}

/** A stretch is at least this long, and a volume has about a thousand of them. */
const stretchBytesMin = 64 * 1024 * 1024;
const stretchBytesMax = 1024 * 1024 * 1024;
const stretchesWanted = 1024;
/** A stretch that a copy would save fewer extents than this is left alone: one that was gathered is not gathered again. */
const savedExtentsMin = 4;
const copyBytes = 4 * 1024 * 1024;
/** Copied and made durable together, and then shared at once: what is written in between stays where it is. */
const togetherBytes = 16 * 1024 * 1024;

/** One that is removed, or replaced, meanwhile is left as it is then. @throws {PoolError} `pool-volume-missing`, `pool-io` */
export async function rewriteVolume(pool: Pool, name: string, options: RewriteOptions): Promise<RewriteResult> {
  let done: Shared = { gatheredBytes: 0, busyBytes: 0 };
  try {
    for await (const shared of rewriteStretches(pool, name, options)) done = addShared(done, shared);
  } catch (error) {
    // The last of the room may go before a stretch is begun, or while it is copied.
    if (hasCode(error, 'pool-reserve') || hasCode(error, 'pool-no-space')) return { ...done, stoppedForRoom: true };
    throw error;
  }
  return { ...done, stoppedForRoom: false };
}

/** @throws {PoolError} as `rewriteVolume`; `pool-reserve`, `pool-no-space` where there is no room for a copy of the next stretch */
async function* rewriteStretches(
  pool: Pool,
  name: string,
  { onProgress, signal }: RewriteOptions,
): AsyncGenerator<Shared, void, undefined> {
  const { sizeBytes } = pool.volume(name);
  await using images = await VolumeImages.open(pool, name);
  await using leftovers = new AsyncDisposableStack();
  const folder = join(pool.layout.staging, `${rewritePrefix}${randomHex(pool.rng, 8)}`);
  leftovers.defer(async () => await removeTree(folder));
  leftovers.use(await pool.change(async () => await makeHeld(pool, folder, signal), { signal }));
  const step = Math.min(
    stretchBytesMax,
    Math.max(stretchBytesMin, 2 ** Math.ceil(Math.log2(sizeBytes / stretchesWanted))),
  );
  for (let offset = 0; offset < sizeBytes; offset += step) {
    signal.throwIfAborted();
    if (images.sizeNow() === undefined) return;
    onProgress(offset, sizeBytes);
    const stretch = extent(offset, Math.min(step, sizeBytes - offset));
    const doing = `rewrite ${offset}+${stretch.lengthBytes} of volume ${name}`;
    const { availableBytes, reserveBytes } = await roomOf(pool);
    if (availableBytes < reserveBytes + stretch.lengthBytes) throw new PoolError('pool-reserve', doing);
    yield await withPoolErrors(
      doing,
      async () => await gather(pool, { images, copyPath: join(folder, imageName) }, stretch, { signal }),
    );
  }
}

/** Under the pool's lock, so that nobody takes it for something that was left. */
async function makeHeld(pool: Pool, folder: string, signal: AbortSignal): Promise<Disposable> {
  await mkdir(folder, { mode: 0o700 });
  return await FileLock.take(folder, { mode: 'shared', waitMs: 0, create: false, clock: pool.clock, signal });
}

async function gather(
  pool: Pool,
  { images, copyPath }: { readonly images: VolumeImages; readonly copyPath: string },
  stretch: Extent,
  { signal }: { readonly signal: AbortSignal },
): Promise<Shared> {
  let shared: Shared = { gatheredBytes: 0, busyBytes: 0 };
  const map = (await mapOf(images.live, stretch, { signal })).filter(isPlain);
  const data = [...coalesce(map.map(({ logical, lengthBytes }) => extent(logical, lengthBytes)))];
  // Holes stay: what lies between two of them is an extent of its own.
  const placesMax = placesOf(map) - savedExtentsMin;
  if (data.length > placesMax) return shared;
  const copy = await open(copyPath, 'wx+', 0o600);
  try {
    for (const { offset, lengthBytes } of data) {
      await fallocate(copy.fd, 0, { offset: offset - stretch.offset, lengthBytes });
    }
    // Where free space is as scattered, nothing is won.
    const room = extent(0, stretch.lengthBytes);
    if (placesOf(await mapOf(copy, room, { signal })) > placesMax) return shared;
    const sharing = new Sharing(pool, images, { copy, from: stretch.offset });
    for (const ranges of batches(data, togetherBytes)) {
      await copyData(images.live, copy, { ranges, from: stretch.offset, signal });
      shared = addShared(shared, await sharing.share(ranges, { signal }));
    }
    return shared;
  } finally {
    // Cut first: XFS gives back the blocks of a file that is only unlinked when it likes.
    await copy.truncate(0);
    await copy.close();
    await unlink(copyPath);
  }
}

/** Fills a part of the copy. Durable before anybody shares it. */
async function copyData(
  live: FileHandle,
  copy: FileHandle,
  { ranges, from, signal }: { readonly ranges: readonly Extent[]; readonly from: number; readonly signal: AbortSignal },
): Promise<void> {
  const buffer = alignedBuffer(copyBytes);
  for (const { offset, lengthBytes } of ranges.flatMap((range) => cutUp(range, copyBytes))) {
    signal.throwIfAborted();
    const { bytesRead } = await live.read(buffer, 0, lengthBytes, offset);
    const { bytesWritten } = await copy.write(buffer, 0, bytesRead, offset - from);
    // What is missing would only not be shared; it never happens on these file systems.
    assert(bytesWritten === bytesRead, 'a write that stopped half way');
  }
  await copy.sync();
}

/** The same ranges in their order, cut, so many together that they hold no more than `mostBytes`. */
function* batches(ranges: readonly Extent[], mostBytes: number): Generator<Extent[], void, undefined> {
  let batch: Extent[] = [];
  let bytes = 0;
  for (const range of ranges.flatMap((whole) => cutUp(whole, mostBytes))) {
    if (bytes + range.lengthBytes > mostBytes) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push(range);
    bytes += range.lengthBytes;
  }
  if (batch.length > 0) yield batch;
}
