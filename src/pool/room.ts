/**
 * The reserve of a pool: room that is kept so that applications which write to their volumes see a full disk last. Below
 * it nothing that needs more is begun. Below half of it the oldest bases that backups keep are given up: their next run
 * reads everything, and says why. What users made themselves is never removed.
 */
import { statfsSync, type StatsFs } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { formatSize } from '../std/format-size.ts';
import { dropBase } from './delete-snapshot.ts';
import { PoolError, poolError, withPoolErrors } from './pool-error.ts';
import { snapshotName } from './pool-names.ts';
import { oldestFirst, type Pool, type PoolSnapshot } from './pool.ts';
import { readableContents } from './readable.ts';

export interface Room {
  readonly totalBytes: number;
  readonly availableBytes: number;
  readonly reserveBytes: number;
}

const reserveShare = 0.05;
const reserveBytesMax = 16 * 1024 ** 3;

export async function roomOf(pool: Pool): Promise<Room> {
  return roomIn(await withPoolErrors(lookAt(pool), async () => await statfs(pool.layout.root)));
}

/** `roomOf` at this very moment, for whoever must know before the next byte is written. @throws {PoolError} `pool-io` */
export function roomNow(pool: Pool): Room {
  try {
    return roomIn(statfsSync(pool.layout.root));
  } catch (error) {
    throw poolError(error, lookAt(pool));
  }
}

function lookAt({ layout }: Pool): string {
  return `look at the file system of ${layout.root}`;
}

function roomIn({ bsize, blocks, bavail }: StatsFs): Room {
  const totalBytes = bsize * blocks;
  const reserveBytes = Math.min(totalBytes * reserveShare, reserveBytesMax);
  return { totalBytes, availableBytes: bsize * bavail, reserveBytes: Math.floor(reserveBytes) };
}

/**
 * What comes before everything that takes room, under the pool's lock.
 * @throws {PoolError} `pool-reserve` when there is too little
 */
export async function requireRoom(
  pool: Pool,
  { doing, onDropped, signal }: { doing: string; onDropped: (snapshot: PoolSnapshot) => void; signal: AbortSignal },
): Promise<void> {
  const room = await roomOf(pool);
  if (room.availableBytes < room.reserveBytes / 2) await dropBases(pool, { onDropped, signal });
  refuseBelowReserve(await roomOf(pool), doing);
}

/** @throws {PoolError} `pool-reserve` */
export function refuseBelowReserve({ availableBytes, reserveBytes }: Room, doing: string): void {
  if (availableBytes >= reserveBytes) return;
  const [left, kept] = [availableBytes, reserveBytes].map(formatSize);
  throw new PoolError('pool-reserve', `${doing}: ${left} are left in the pool, and ${kept} are kept for its volumes`);
}

/** Oldest first, until half of the reserve is there again. */
async function dropBases(
  pool: Pool,
  { onDropped, signal }: { onDropped: (snapshot: PoolSnapshot) => void; signal: AbortSignal },
): Promise<void> {
  const snapshots = readableContents(pool).flatMap(({ snapshots: its }) => its);
  const bases = oldestFirst(snapshots.filter(({ record }) => record.madeBy === 'backup'));
  for (const base of bases) {
    const { availableBytes, reserveBytes } = await roomOf(pool);
    if (availableBytes >= reserveBytes / 2) return;
    if (await dropBase(pool, base, { signal })) onDropped(base);
  }
}

/** For the warning that a base was given up. */
export function droppedText(base: PoolSnapshot): string {
  return `${snapshotName(base)}, which backups had kept, was given up for room: the next backup of ${base.volume} reads everything`;
}
