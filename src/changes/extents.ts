/**
 * What has changed between two image files of one file system that shares blocks (XFS, btrfs): two snapshots of a
 * volume, or a snapshot and the volume. No data is read, only where the file system keeps it (`compare-maps.ts`).
 *
 * Both files are there and open: nothing here takes a map that was read earlier. Once a file is gone its blocks are
 * given to others, who overwrite them in place, and an old map would call them unchanged. For the same reason a file
 * that has lost its name is refused. Maps are read in pages of bounded length, so memory grows with what has changed
 * only.
 */
import { fstatSync, type BigIntStats } from 'node:fs';

import { mapExtents, type ExtentPage, type MappedExtent } from '../kernel/extent-map.ts';
import type { DataRange } from '../kernel/holes.ts';
import { extent, type Extent } from '../volume/extent.ts';
import { ChangesError } from './changes.ts';
import { blockBytes, compareMaps, type MapDifference } from './compare-maps.ts';

/** A regular file, open for reading, which the caller keeps from being written to and from being deleted. */
export interface ImageFile {
  readonly fd: number;
  /** The volume's size; the file is not shorter. */
  readonly sizeBytes: number;
}

export interface ExtentDifference {
  /**
   * Where the target may differ from the base: normal, exact, within the target. Past the base's end only what the
   * target holds is named; what is left out there reads as zeros.
   */
  readonly extents: readonly Extent[];
  /** Extents looked at in the two maps. */
  readonly mappedExtents: number;
  /** Whether the base was being moved by its file system all the time: more may be named than has changed. */
  readonly moved: boolean;
}

/** Of each map in memory at once. */
const pageExtentsMax = 8192;
/** How often a window is read while the base moves. */
const triesMax = 3;

/**
 * @throws {ChangesError} `changes-incomparable`; {KernelError} `kernel-unsupported` where files have no maps
 */
export async function compareExtents(
  base: ImageFile,
  target: ImageFile,
  { signal }: { readonly signal: AbortSignal },
): Promise<ExtentDifference> {
  const before = [look(base, 'base'), look(target, 'target')] as const;
  if (before[0].dev !== before[1].dev) throw refusal('base and target are not on one file system');
  const pages = ({ fd, sizeBytes }: ImageFile): PagedMap => ({
    sizeBytes,
    read: async (range) => await mapExtents(fd, range, { extentsMax: pageExtentsMax, signal }),
  });
  const result = await comparePages(pages(base), pages(target), { signal });
  const after = [look(base, 'base'), look(target, 'target')] as const;
  for (const [index, name] of ['base', 'target'].entries()) {
    const [then, now] = [before[index]!, after[index]!];
    const isSame = then.mtimeNs === now.mtimeNs && then.size === now.size;
    if (!isSame) throw refusal(`the ${name} was written to while it was compared`);
  }
  return result;
}

/** @throws {ChangesError} `changes-incomparable` for what is no file, or no longer one */
function look({ fd, sizeBytes }: ImageFile, name: string): BigIntStats {
  const stats = fstatSync(fd, { bigint: true });
  if (!stats.isFile()) throw refusal(`the ${name} is not a regular file`);
  if (stats.nlink === 0n) throw refusal(`the ${name} was deleted`);
  if (stats.size < BigInt(sizeBytes)) throw refusal(`the ${name} is shorter than its volume`);
  return stats;
}

function refusal(why: string): ChangesError {
  return new ChangesError('changes-incomparable', `compare extents: ${why}`);
}

/** A file's map as it is at each moment, a page at a time. */
export interface PagedMap {
  readonly sizeBytes: number;
  /** From the range's beginning up to `coveredTo`, at most to its end. */
  readonly read: (range: DataRange) => Promise<ExtentPage>;
}

/** The comparison itself, of files that stay as they are and where they are; blocks may move. */
export async function comparePages(
  base: PagedMap,
  target: PagedMap,
  { signal }: { readonly signal: AbortSignal },
): Promise<ExtentDifference> {
  return await new Comparison(base, target, signal).run();
}

class Comparison {
  readonly #base: PagedMap;
  readonly #target: PagedMap;
  readonly #signal: AbortSignal;
  /** Starts and ends, as `MapDifference` has them. */
  readonly #changed: number[] = [];
  #mappedExtents = 0;
  #moved = false;

  constructor(base: PagedMap, target: PagedMap, signal: AbortSignal) {
    this.#base = base;
    this.#target = target;
    this.#signal = signal;
  }

  async run(): Promise<ExtentDifference> {
    const [baseBytes, targetBytes] = [this.#base.sizeBytes, this.#target.sizeBytes];
    const common = Math.min(baseBytes, targetBytes);
    // A block that one of them shares only in part is not compared: its rest says nothing of the other.
    const compared = baseBytes === targetBytes ? wholeBlocks(common) : common - (common % blockBytes);
    await this.#stretch(0, compared, async (start, end) => await this.#both(start, end));
    if (compared < targetBytes) {
      const added = wholeBlocks(common);
      if (added > compared) this.#add([compared, added]);
      await this.#stretch(added, wholeBlocks(targetBytes), async (start, end) => await this.#targetOnly(start, end));
    }
    return { extents: this.#extents(), mappedExtents: this.#mappedExtents, moved: this.#moved };
  }

  /** Goes through a stretch window by window; `compare` answers how far it came. */
  async #stretch(from: number, to: number, compare: (start: number, end: number) => Promise<number>): Promise<void> {
    let windowBytes = to - from;
    for (let start = from; start < to;) {
      this.#signal.throwIfAborted();
      const covered = await compare(start, Math.min(start + windowBytes, to));
      // Where one map has far more extents than the other, the short one is not read to its end for each page.
      windowBytes = 2 * (covered - start);
      start = covered;
    }
  }

  async #both(start: number, wanted: number): Promise<number> {
    let end = wanted;
    let difference: MapDifference | undefined;
    let mapped = 0;
    for (let tries = 0; tries < triesMax && (difference === undefined || difference.moved); tries += 1) {
      const base = await this.#page(this.#base, start, end);
      const target = await this.#page(this.#target, start, base.end);
      const baseAgain = await this.#page(this.#base, start, target.end);
      end = baseAgain.end;
      const maps = { base: base.extents, target: target.extents, baseAgain: baseAgain.extents };
      difference = compareMaps(maps, { start, end });
      mapped = target.extents.length + baseAgain.extents.length;
    }
    this.#mappedExtents += mapped;
    if (difference?.moved === true) this.#moved = true;
    this.#add(difference?.changed ?? [start, end]);
    return end;
  }

  /** Past the end of the base: as if it had a hole there. */
  async #targetOnly(start: number, wanted: number): Promise<number> {
    const { extents, end } = await this.#page(this.#target, start, wanted);
    this.#mappedExtents += extents.length;
    this.#add(compareMaps({ base: [], target: extents, baseAgain: [] }, { start, end }).changed);
    return end;
  }

  /** A page of a map; `end` is a whole number of blocks, at least one of which it covers. */
  async #page(
    map: PagedMap,
    start: number,
    wanted: number,
  ): Promise<{ readonly extents: readonly MappedExtent[]; readonly end: number }> {
    const { extents, coveredTo } = await map.read({ offset: start, lengthBytes: wanted - start });
    const end = coveredTo - (coveredTo % blockBytes);
    if (end <= start || end > wanted) throw refusal(`the map of ${start} to ${wanted} ends at ${coveredTo}`);
    return { extents, end };
  }

  #add(changed: readonly number[]): void {
    for (let index = 0; index < changed.length; index += 2) {
      const [start, end] = [changed[index]!, changed[index + 1]!];
      if (this.#changed.at(-1) === start) this.#changed[this.#changed.length - 1] = end;
      else this.#changed.push(start, end);
    }
  }

  #extents(): Extent[] {
    const found: Extent[] = [];
    for (let index = 0; index < this.#changed.length; index += 2) {
      const start = this.#changed[index]!;
      const end = Math.min(this.#changed[index + 1]!, this.#target.sizeBytes);
      if (start < end) found.push(extent(start, end - start));
    }
    return found;
  }
}

function wholeBlocks(bytes: number): number {
  return Math.ceil(bytes / blockBytes) * blockBytes;
}
