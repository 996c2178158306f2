/** What a pool holds: the figures of `dray pool status` and `dray volume show`. Only maps are read, no data. */
import { open } from 'node:fs/promises';
import { extentFlags, goesOn, mapPages, type MappedExtent } from '../kernel/extent-map.ts';
import { attachedLoops } from '../kernel/loop-device.ts';
import { withPoolErrors } from './pool-error.ts';
import type { Pool } from './pool.ts';
import type { VolumeContents } from './readable.ts';
import { roomOf, type Room } from './room.ts';

interface SignalOption {
  readonly signal: AbortSignal;
}

/** With more extents than this every snapshot takes a tenth of a second more, of which writers wait for some milliseconds (XFS) or a third (btrfs). */
export const fragmentedExtents = 2000;

export interface ImageFigures {
  /** Those that lie one after the other on disk are one, also where only a part of it is shared. */
  readonly extents: number;
  /** Bytes of blocks that only this image maps. */
  readonly uniqueBytes: number;
  /** Bytes of blocks that another image, a snapshot or clone, maps as well. */
  readonly sharedBytes: number;
}

export async function imageFigures(path: string, { signal }: SignalOption): Promise<ImageFigures> {
  return await withPoolErrors(`read the map of ${path}`, async () => {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      const figures = { extents: 0, uniqueBytes: 0, sharedBytes: 0 };
      let before: MappedExtent | undefined;
      for await (const extents of mapPages(file.fd, { offset: 0, lengthBytes: size }, { signal })) {
        for (const one of extents) {
          const { flags, lengthBytes } = one;
          if (before === undefined || !goesOn(before, one)) figures.extents += 1;
          before = one;
          // Room that was taken ahead of what will be written holds nothing yet.
          if ((flags & extentFlags.unwritten) !== 0) continue;
          if ((flags & extentFlags.shared) === 0) figures.uniqueBytes += lengthBytes;
          else figures.sharedBytes += lengthBytes;
        }
      }
      return figures;
    } finally {
      await file.close();
    }
  });
}

export interface PoolFigures {
  readonly room: Room;
  readonly volumes: number;
  readonly snapshots: number;
  readonly attached: number;
  /** Sum of the volumes' sizes. */
  readonly logicalBytes: number;
  /** Of volumes, blocks of their own and those they share. */
  readonly uniqueBytes: number;
  readonly sharedBytes: number;
  /** Bytes that would come back if all snapshots were gone, at least. */
  readonly snapshotBytes: number;
  readonly fragmented: readonly { readonly volume: string; readonly extents: number }[];
}

/** Of what can be read; `findFaults` names the rest. */
export async function poolFigures(
  pool: Pool,
  contents: readonly VolumeContents[],
  { signal }: SignalOption,
): Promise<PoolFigures> {
  const devicesOf = await attachedLoops({ signal });
  const sums = { logicalBytes: 0, uniqueBytes: 0, sharedBytes: 0, snapshotBytes: 0, snapshots: 0, attached: 0 };
  const fragmented: { volume: string; extents: number }[] = [];
  for (const { volume, snapshots } of contents) {
    const { name, image, sizeBytes } = volume;
    const figures = await imageFigures(image, { signal });
    sums.logicalBytes += sizeBytes;
    sums.uniqueBytes += figures.uniqueBytes;
    sums.sharedBytes += figures.sharedBytes;
    if (figures.extents > fragmentedExtents) fragmented.push({ volume: name, extents: figures.extents });
    sums.snapshots += snapshots.length;
    if ((await devicesOf(image)).length > 0) sums.attached += 1;
    for (const snapshot of snapshots) {
      sums.snapshotBytes += (await imageFigures(snapshot.image, { signal })).uniqueBytes;
    }
  }
  return { room: await roomOf(pool), volumes: contents.length, ...sums, fragmented };
}
