/**
 * A fragmented volume gathered into long extents while it is used, without a change appearing in its history. A stretch
 * is copied into one contiguous piece of a file of its own; then the volume and its snapshots are let share that copy
 * (`share-copy.ts`). That is done under the pool's lock, a moment at a time: no snapshot is taken between the volume's turn
 * and its snapshots', and what somebody wants to remove, he only has to wait for. What was written meanwhile stays as it
 * is. A kill at any point leaves a volume that is partly gathered; the piece of it that was on its way, 1 MiB, may count as
 * changed since a snapshot then.
 */
import assert from 'node:assert/strict';
import { mkdir, open, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { alignedBuffer } from '../kernel/aligned-memory.ts';
import { FileLock } from '../kernel/lock-file.ts';
import { fallocate } from '../kernel/sys.ts';
import { randomHex } from '../std/rng.ts';
import { extent, type Extent } from '../volume/extent.ts';
import { coalesce } from '../volume/extents.ts';
import { withPoolErrors } from './pool-error.ts';
import { imageName } from './pool-layout.ts';
import type { Pool } from './pool.ts';
import { rewritePrefix } from './recover-staging.ts';
import { roomOf } from './room.ts';
import { isPlain, mapOf, pieceBytes, placesOf, Sharing } from './share-copy.ts';
import { removeTree } from './staging.ts';
import { VolumeImages } from './volume-images.ts';

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
/** A stretch that a copy would save fewer extents than this is left alone: one that was gathered is not gathered again. */
const savedExtentsMin = 4;
const copyBytes = 4 * 1024 * 1024;
/** For so long others have to wait for the pool's lock, and then are given time to take it. */
const lockedMs = 500;
const othersMs = 60;

/** One that is removed, or replaced, meanwhile is left as it is then. @throws {PoolError} `pool-volume-missing`, `pool-io` */
export async function rewriteVolume(
  pool: Pool,
  name: string,
  { onProgress, signal }: RewriteOptions,
): Promise<RewriteResult> {
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
  const result = { gatheredBytes: 0, busyBytes: 0, stoppedForRoom: false };
  for (let offset = 0; offset < sizeBytes; offset += step) {
    signal.throwIfAborted();
    if (images.sizeNow() === undefined) return result;
    onProgress(offset, sizeBytes);
    const stretch = extent(offset, Math.min(step, sizeBytes - offset));
    const { availableBytes, reserveBytes } = await roomOf(pool);
    if (availableBytes < reserveBytes + stretch.lengthBytes) return { ...result, stoppedForRoom: true };
    const done = await withPoolErrors(
      `rewrite ${offset}+${stretch.lengthBytes} of volume ${name}`,
      async () => await gather(pool, { images, copyPath: join(folder, imageName) }, stretch, { signal }),
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

type Gathered = Pick<RewriteResult, 'gatheredBytes' | 'busyBytes'>;

async function gather(
  pool: Pool,
  { images, copyPath }: { readonly images: VolumeImages; readonly copyPath: string },
  stretch: Extent,
  { signal }: { readonly signal: AbortSignal },
): Promise<Gathered> {
  const result = { gatheredBytes: 0, busyBytes: 0 };
  const map = (await mapOf(images.live, stretch, { signal })).filter(isPlain);
  const data = [...coalesce(map.map(({ logical, lengthBytes }) => extent(logical, lengthBytes)))];
  // Holes stay: what lies between two of them is an extent of its own.
  const placesMax = placesOf(map) - savedExtentsMin;
  if (data.length > placesMax) return result;
  const copy = await open(copyPath, 'wx+', 0o600);
  try {
    for (const { offset, lengthBytes } of data) {
      await fallocate(copy.fd, 0, { offset: offset - stretch.offset, lengthBytes });
    }
    // Where free space is as scattered, nothing is won.
    const room = extent(0, stretch.lengthBytes);
    if (placesOf(await mapOf(copy, room, { signal })) > placesMax) return result;
    await copyData(images.live, copy, { data, from: stretch.offset, signal });
    const pieces = data.flatMap((range) => cutUp(range, pieceBytes));
    const sharing = new Sharing(images, { copy, from: stretch.offset });
    for (let done = 0; done < pieces.length;) {
      if (done > 0) await pool.clock.sleep(othersMs, { signal });
      done += await pool.change(
        async () => {
          const untilMs = pool.clock.monotonicMs() + lockedMs;
          let count = 0;
          for await (const { piece, same } of sharing.share(pieces.slice(done), { signal })) {
            if (same) result.gatheredBytes += piece.lengthBytes;
            else result.busyBytes += piece.lengthBytes;
            count += 1;
            if (pool.clock.monotonicMs() >= untilMs) break;
          }
          return count;
        },
        { signal },
      );
    }
    return result;
  } finally {
    // Cut first: XFS gives back the blocks of a file that is only unlinked when it likes.
    await copy.truncate(0);
    await copy.close();
    await unlink(copyPath);
  }
}

/** Fills the copy. Durable before anybody shares it. */
async function copyData(
  live: FileHandle,
  copy: FileHandle,
  { data, from, signal }: { readonly data: readonly Extent[]; readonly from: number; readonly signal: AbortSignal },
): Promise<void> {
  const buffer = alignedBuffer(copyBytes);
  for (const { offset, lengthBytes } of data.flatMap((range) => cutUp(range, copyBytes))) {
    signal.throwIfAborted();
    const { bytesRead } = await live.read(buffer, 0, lengthBytes, offset);
    const { bytesWritten } = await copy.write(buffer, 0, bytesRead, offset - from);
    // What is missing would only not be shared; it never happens on these file systems.
    assert(bytesWritten === bytesRead, 'a write that stopped half way');
  }
  await copy.sync();
}

function cutUp({ offset, lengthBytes }: Extent, most: number): Extent[] {
  const pieces: Extent[] = [];
  for (let done = 0; done < lengthBytes; done += most) {
    pieces.push(extent(offset + done, Math.min(most, lengthBytes - done)));
  }
  return pieces;
}
