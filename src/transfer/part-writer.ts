/**
 * What a fetch worker does for a large file: it writes a part of it, past the page cache where memory and position allow;
 * through it, a gigabyte takes twice the processor's time, and room from everybody else. Descriptors stay with the main
 * thread, which opened the file and finishes it when all parts have come back.
 */
import { readSync } from 'node:fs';

import { directAlignmentBytes } from '../kernel/aligned-memory.ts';
import { DirectFile } from '../kernel/direct-file.ts';
import { RepositoryError } from '../repository/repository-error.ts';
import { packError } from '../std/error-transfer.ts';
import { toError } from '../std/to-error.ts';
import { volumeError } from '../volume/volume-errors.ts';
import type { FetchLeaf, FilesFetched, PartTask } from './fetch-messages.ts';
import { isGone, type LeafFetcher, type WantedLeaf } from './leaf-fetcher.ts';
import { touching } from './leaf-stretches.ts';
import { dataRuns } from './zero-runs.ts';

const nothing: FilesFetched = { fetchedBytes: 0, packedBytes: 0, writtenBytes: 0, kept: 0, failures: [] };

export class PartWriter {
  readonly #fetcher: LeafFetcher;

  constructor(fetcher: LeafFetcher) {
    this.#fetcher = fetcher;
  }

  /** @throws {VolumeError} for what ends the restore, {BlobError} */
  async part(task: PartTask): Promise<FilesFetched | 'gone'> {
    const { fd, leaves, compare, again = false } = task;
    try {
      const known = this.#known(leaves, again);
      if (known === undefined) return 'gone';
      const wanted = compare ? this.#differing(fd, known) : known;
      return wanted.length === 0 ? nothing : await this.#write(task, wanted);
    } catch (error) {
      if (isGone(error) && !again) return 'gone';
      if (!(error instanceof RepositoryError)) throw toError(volumeError(error, 'write a part of a file'));
      return { ...nothing, failures: [{ index: 0, error: packError(error) }] };
    }
  }

  /**
   * Before memory is taken for them: what a list says of a length may be anything.
   * @returns undefined when one is not in the index, without `again` @throws {RepositoryError} `corrupt`
   */
  #known(leaves: readonly FetchLeaf[], again: boolean): readonly WantedLeaf[] | undefined {
    const known: WantedLeaf[] = [];
    for (const leaf of leaves) {
      const entry = this.#fetcher.find(leaf.contentId);
      if (entry === undefined) {
        if (!again) return undefined;
        throw new RepositoryError('corrupt', `no index entry for content ${leaf.contentId}`);
      }
      if (leaf.compressed !== true && entry.originalLength !== leaf.lengthBytes) {
        throw new RepositoryError('corrupt', `content ${leaf.contentId} has another length than its list says`);
      }
      known.push({ ...leaf, entry });
    }
    return known;
  }

  async #write({ fd, directFd, compare }: PartTask, wanted: readonly WantedLeaf[]): Promise<FilesFetched> {
    const first = wanted[0]!.offset;
    const last = wanted.at(-1)!;
    const phase = first % directAlignmentBytes;
    using output = this.#fetcher.slots.slot(last.offset + last.lengthBytes - first, { phase });
    const packedBytes = await this.#fetcher.fetch(wanted, { first, output });
    const file = new DirectFile(fd, directFd);
    let writtenBytes = 0;
    for (const { offset, lengthBytes } of touching(wanted)) {
      const bytes = output.bytes.subarray(offset - first, offset - first + lengthBytes);
      // Where something may stand, zeros are written, too.
      for (const run of compare ? [{ start: 0, lengthBytes, zero: false }] : dataRuns(bytes)) {
        if (run.zero) continue;
        await file.write(bytes.subarray(run.start, run.start + run.lengthBytes), offset + run.start);
        writtenBytes += run.lengthBytes;
      }
    }
    const fetchedBytes = wanted.reduce((sum, leaf) => sum + leaf.lengthBytes, 0);
    return { ...nothing, fetchedBytes, packedBytes, writtenBytes };
  }

  /** The chunks that the file does not hold yet. */
  #differing(fd: number, leaves: readonly WantedLeaf[]): WantedLeaf[] {
    return leaves.filter((leaf) => {
      using present = this.#fetcher.slots.slot(leaf.lengthBytes);
      const bytes = present.bytes.subarray(0, leaf.lengthBytes);
      return readWhole(fd, bytes, leaf.offset) !== bytes.length || !this.#fetcher.isLeaf(leaf, bytes);
    });
  }
}

/** @returns how much of `into` the file fills */
export function readWhole(fd: number, into: Uint8Array, offset: number): number {
  let done = 0;
  while (done < into.length) {
    const count = readSync(fd, into, done, into.length - done, offset + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}
