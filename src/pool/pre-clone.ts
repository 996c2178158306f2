/**
 * A clone made before it counts, as live migration copies memory beforehand. XFS leaves each extent alone that the target of
 * a clone has already (`xfs_reflink_remap_extent`, since Linux 5.9): to clone a whole image once more costs 2 microseconds for
 * each extent instead of 15 to 70. So most of the work is done while applications run, in short pieces; what counts is the clone
 * of the whole image at the moment of the snapshot, by which the file system makes both equal whatever was written meanwhile.
 * Nothing depends on what is done here but the time of that clone.
 *
 * What is written after the first clone goes to new blocks, which the freeze has to write out and to clone. So nothing is
 * done where so much is written that this would take as long as what is saved.
 */
import { fstatSync } from 'node:fs';
import { writesSince } from '../kernel/block-device.ts';
import { countExtents, mapExtents } from '../kernel/extent-map.ts';
import { cloneRange } from '../kernel/reflink.ts';
import { isXfs } from '../kernel/xfs-geometry.ts';
import type { Clock } from '../std/clock.ts';

export interface PreClone {
  readonly fromFd: number;
  readonly toFd: number;
  /** `major:minor` of the device that the image is attached as. */
  readonly deviceNumber: string;
}

export interface PreCloneOptions {
  /** Of all volumes: what is written out now need not be while applications wait. */
  readonly writeOut: () => Promise<void>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** With fewer, writers wait for less than they would notice. */
const extentsMin = 500;
/** Of a volume that nobody writes to. With more, somebody who begins now would notice. */
const idleExtentsMin = 4096;
/** A writer of the image waits for so many at once: one or two milliseconds on an idle machine. */
const extentsPerPiece = 64;
const sampleMs = 30;

/**
 * Gives each target what its image has, piece by piece: of no single moment. Nothing is written out where there are few
 * extents, and what is written meanwhile never: that is the caller's. The descriptors belong to the call until it settles.
 * @throws {KernelError} as `cloneRange` and `mapExtents`, and what `writeOut` throws
 */
export async function preClone(
  clones: readonly PreClone[],
  { writeOut, clock, signal }: PreCloneOptions,
): Promise<void> {
  const scattered: (PreClone & { readonly extents: number; readonly writes: () => number | undefined })[] = [];
  for (const { fromFd, toFd, deviceNumber } of clones) {
    const writes = writesSince(deviceNumber);
    const extents = isXfs(fromFd) ? await countExtents(fromFd) : 0;
    if (extents >= extentsMin) scattered.push({ fromFd, toFd, deviceNumber, extents, writes });
  }
  if (scattered.length === 0) return;
  await writeOut();
  const large = scattered.filter(({ extents, writes }) => extents >= idleExtentsMin || writes() !== 0);
  if (large.length === 0) return;
  // What was dirty for long is not to be taken for what is written now.
  await writeOut();
  const startedMs = clock.monotonicMs();
  const counted = large.map(({ deviceNumber }) => writesSince(deviceNumber));
  await clock.sleep(sampleMs, { signal });
  await writeOut();
  const seconds = (clock.monotonicMs() - startedMs) / 1000;
  const totalExtents = large.reduce((sum, { extents }) => sum + extents, 0);
  for (const [index, clone] of large.entries()) {
    const writes = counted[index]!();
    if (writes === undefined) continue;
    const load = { extents: clone.extents, totalExtents, writesPerSecond: writes / seconds };
    if (isWorthwhile(load)) await cloneInPieces(clone, { signal });
  }
}

/** From the last piece until all is frozen: a guard is started, a mark written, and what is dirty written out. */
const settlingSeconds = 0.2;
/** Of the clone in pieces, and of the map that tells where they end. */
const secondsPerExtent = 60e-6;
/** To write a block to a new place, and to clone it, takes several times as long as to leave an extent out. */
const costOfWrite = 8;

/**
 * Exported for tests. Measured with 6,400 extents and random pages written to an ext4: frozen for a quarter of the time with 1,000 a
 * second, as long with 3,000, five times as long with 8,000.
 */
export function isWorthwhile({
  extents,
  totalExtents,
  writesPerSecond,
}: {
  readonly extents: number;
  /** Of all that are cloned before one freeze. */
  readonly totalExtents: number;
  readonly writesPerSecond: number;
}): boolean {
  const writesMeanwhile = writesPerSecond * (settlingSeconds + totalExtents * secondsPerExtent);
  return writesMeanwhile * costOfWrite <= extents;
}

/** Exported for tests. */
export async function cloneInPieces(
  { fromFd, toFd }: Pick<PreClone, 'fromFd' | 'toFd'>,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  const { size } = fstatSync(fromFd);
  for (let offset = 0; offset < size;) {
    const rest = { offset, lengthBytes: size - offset };
    const { coveredTo } = await mapExtents(fromFd, rest, { extentsMax: extentsPerPiece, signal });
    await cloneRange({ fd: fromFd, offset }, { fd: toFd, offset }, coveredTo - offset);
    offset = coveredTo;
  }
}
