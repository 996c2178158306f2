/**
 * What a fetch worker does to a volume: chunks that are whole are written where they belong, holes stay holes, and with
 * `delta` only what differs is fetched.
 */
import type { BlockTarget } from '../volume/block-target.ts';
import { extent } from '../volume/extent.ts';
import { fetchTaskBytes, type Fetched, type FetchLeaf, type LeavesTask, type ZeroTask } from './fetch-messages.ts';
import type { Slot } from './fetch-slots.ts';
import { isGone, type LeafFetcher } from './leaf-fetcher.ts';
import { touching } from './leaf-stretches.ts';
import { dataRuns, isZero } from './zero-runs.ts';

export interface VolumeWriterParts {
  readonly fetcher: LeafFetcher;
  readonly target: BlockTarget;
  /** Where the volume ends; bytes of a padded last chunk beyond it are checked and not written. */
  readonly sizeBytes: number;
  readonly signal: AbortSignal;
}

const nothing: Fetched = { fetchedBytes: 0, packedBytes: 0, writtenBytes: 0 };

export class VolumeWriter {
  readonly #parts: VolumeWriterParts;

  constructor(parts: VolumeWriterParts) {
    this.#parts = parts;
  }

  /** Maintenance moves contents and removes the packs that they were in: what is not there may be elsewhere. */
  async leaves({ kind, leaves, again = false }: LeavesTask): Promise<Fetched | 'gone'> {
    const wanted = kind === 'delta' ? await this.#differing(leaves) : leaves;
    try {
      return await this.#fetch(wanted);
    } catch (error) {
      if (isGone(error) && !again) return 'gone';
      throw error;
    }
  }

  async zero(task: ZeroTask): Promise<Fetched> {
    const { fetcher, target, signal } = this.#parts;
    if (!task.compare) {
      await target.zero(extent(task.offset, task.lengthBytes), { signal });
      return nothing;
    }
    let writtenBytes = 0;
    using present = fetcher.slots.slot(fetchTaskBytes);
    for (let done = 0; done < task.lengthBytes; done += fetchTaskBytes) {
      const range = extent(task.offset + done, Math.min(fetchTaskBytes, task.lengthBytes - done));
      const bytes = present.bytes.subarray(0, range.lengthBytes);
      await target.read(range, bytes, { signal });
      if (!isZero(bytes)) {
        await target.zero(range, { signal });
        writtenBytes += range.lengthBytes;
      }
    }
    return { ...nothing, writtenBytes };
  }

  async close(): Promise<void> {
    await this.#parts.target[Symbol.asyncDispose]();
  }

  async #fetch(leaves: readonly FetchLeaf[]): Promise<Fetched> {
    if (leaves.length === 0) return nothing;
    const { fetcher } = this.#parts;
    const first = leaves[0]!.offset;
    const last = leaves[leaves.length - 1]!;
    using output = fetcher.slots.slot(last.offset + last.lengthBytes - first);
    const packedBytes = await fetcher.fetch(leaves, { first, output });
    const fetchedBytes = leaves.reduce((sum, leaf) => sum + leaf.lengthBytes, 0);
    return { fetchedBytes, packedBytes, writtenBytes: await this.#write(leaves, first, output) };
  }

  /** Writes the chunks as few, long extents; long runs of zeros become holes. @returns bytes written as data */
  async #write(leaves: readonly FetchLeaf[], first: number, output: Slot): Promise<number> {
    const { target, sizeBytes, signal } = this.#parts;
    let written = 0;
    for (const run of touching(leaves)) {
      const lengthBytes = Math.min(run.lengthBytes, sizeBytes - run.offset);
      const bytes = output.bytes.subarray(run.offset - first, run.offset - first + lengthBytes);
      for (const part of dataRuns(bytes)) {
        const range = extent(run.offset + part.start, part.lengthBytes);
        if (part.zero) {
          if (!target.location.zeroed) await target.zero(range, { signal });
        } else {
          await target.write(range, bytes.subarray(part.start, part.start + part.lengthBytes), { signal });
          written += part.lengthBytes;
        }
      }
    }
    return written;
  }

  /** The chunks whose present bytes in the target do not hash to their id. */
  async #differing(leaves: readonly FetchLeaf[]): Promise<FetchLeaf[]> {
    const { fetcher, target, sizeBytes, signal } = this.#parts;
    const first = leaves[0]!.offset;
    const last = leaves[leaves.length - 1]!;
    const lengthBytes = last.offset + last.lengthBytes - first;
    using present = fetcher.slots.slot(lengthBytes);
    const readBytes = Math.min(lengthBytes, sizeBytes - first);
    await target.read(extent(first, readBytes), present.bytes.subarray(0, readBytes), { signal });
    present.bytes.fill(0, readBytes, lengthBytes);
    return leaves.filter((leaf) => {
      const bytes = present.bytes.subarray(leaf.offset - first, leaf.offset - first + leaf.lengthBytes);
      return !fetcher.isLeaf(leaf, bytes);
    });
  }
}
