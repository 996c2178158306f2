/**
 * What a fetch worker does for the small files and links of a tree: they are made whole, in batches. One read of a pack
 * serves many, and each costs six system calls and no message of its own. What cannot be had, or cannot be made, is told
 * and stops nobody else.
 */
import { ftruncateSync } from 'node:fs';
import { threadId } from 'node:worker_threads';

import { closeDescriptor } from '../kernel/folder-calls.ts';
import { RepositoryError } from '../repository/repository-error.ts';
import { packError } from '../std/error-transfer.ts';
import { toError } from '../std/to-error.ts';
import { applyAttributes, isSameTime } from '../volume/file-attributes.ts';
import { createFile, createLink, dropFile, finishFile, lookAt, openOnly, writeAll } from '../volume/folder-entry.ts';
import { volumeError } from '../volume/volume-errors.ts';
import type { FetchLeaf, FileFailure, FilesFetched, FilesOutput, FilesTask, SmallFile } from './fetch-messages.ts';
import { endsRestore } from './file-failure.ts';
import { isGone, type LeafFetcher, type WantedLeaf } from './leaf-fetcher.ts';
import { readWhole } from './part-writer.ts';
import { dataRuns } from './zero-runs.ts';

export interface FilesWriterParts {
  readonly fetcher: LeafFetcher;
  readonly output: FilesOutput;
}

/** Linux: PATH_MAX with its NUL. */
const linkBytesMax = 4095;

/** A file on its way, and where its bytes lie among those of its task. */
interface Wanted {
  readonly index: number;
  readonly file: SmallFile;
  readonly leaf: WantedLeaf;
}

export class FilesWriter {
  readonly #fetcher: LeafFetcher;
  readonly #output: FilesOutput;
  #temporaries = 0;

  constructor({ fetcher, output }: FilesWriterParts) {
    this.#fetcher = fetcher;
    this.#output = output;
  }

  /** @throws {VolumeError} for what ends the restore, {BlobError} */
  async files({ files, again = false }: FilesTask): Promise<FilesFetched | 'gone'> {
    const failures: FileFailure[] = [];
    const fail = (index: number, error: unknown): void => void failures.push({ index, error: packError(error) });
    const placed = this.#place(files, { again, fail });
    if (placed === 'gone') return 'gone';
    const { wanted, kept } = placed;
    const last = wanted.at(-1)?.leaf;
    const lengthBytes = last === undefined ? 0 : last.offset + last.lengthBytes;
    using output = this.#fetcher.slots.slot(lengthBytes);
    const damaged = new Map<number, RepositoryError>();
    const byOffset = new Map(wanted.map(({ leaf, index }) => [leaf, index]));
    const onDamage = (leaf: FetchLeaf, error: RepositoryError): void => void damaged.set(byOffset.get(leaf)!, error);
    const leaves = wanted.map(({ leaf }) => leaf);
    const packedBytes = await this.#fetcher.fetch(leaves, { first: 0, output, onDamage });
    if (!again && [...damaged.values()].some(isGone)) return 'gone';
    let writtenBytes = 0;
    for (const { index, file, leaf } of wanted) {
      const error = damaged.get(index);
      if (error !== undefined) {
        fail(index, error);
        continue;
      }
      try {
        writtenBytes += this.#make(file, output.bytes.subarray(leaf.offset, leaf.offset + leaf.lengthBytes));
      } catch (cause) {
        const what = volumeError(cause, `make ${file.name}`);
        if (!(cause instanceof RepositoryError) && endsRestore(cause)) throw toError(what);
        fail(index, what);
      }
    }
    return { fetchedBytes: lengthBytes, packedBytes, writtenBytes, kept, failures };
  }

  /** Where the bytes of each file will lie that has to be fetched. */
  #place(
    files: readonly SmallFile[],
    { again, fail }: { readonly again: boolean; readonly fail: (index: number, error: unknown) => void },
  ): { readonly wanted: readonly Wanted[]; readonly kept: number } | 'gone' {
    const wanted: Wanted[] = [];
    let offset = 0;
    let kept = 0;
    for (const [index, file] of files.entries()) {
      const entry = this.#fetcher.find(file.contentId);
      if (entry === undefined) {
        if (!again) return 'gone';
        fail(index, new RepositoryError('corrupt', `no index entry for content ${file.contentId}`));
        continue;
      }
      const lengthBytes = entry.originalLength;
      const fault = faultOf(file, lengthBytes);
      if (fault !== undefined) {
        fail(index, new RepositoryError('corrupt', fault));
        continue;
      }
      if (this.#isWhole(file)) {
        kept += 1;
        continue;
      }
      wanted.push({ index, file, leaf: { offset, lengthBytes, contentId: file.contentId, entry } });
      offset += lengthBytes;
    }
    return { wanted, kept };
  }

  /** Whether nothing is left to be done for this file. */
  #isWhole(file: SmallFile): boolean {
    const { existing } = this.#output;
    if (existing === 'refuse') return false;
    const stats = existing === 'trust' || file.kind === 'link' ? lookAt(file) : undefined;
    if (stats !== undefined && isSameTime(file.attributes.modified, stats.mtimeNs)) {
      if (existing === 'trust' && file.kind === 'link') return stats.isSymbolicLink();
      if (existing === 'trust' && stats.isFile() && stats.size === BigInt(file.sizeBytes)) return true;
    }
    return file.kind === 'file' && this.#holdsBytes(file);
  }

  /** Reads the file that is there; when it has the right bytes it gets the right attributes, too. */
  #holdsBytes(file: SmallFile): boolean {
    const opened = openOnly(file, { write: false });
    if (opened === undefined) return false;
    try {
      if (opened.stats.size !== BigInt(file.sizeBytes)) return false;
      using present = this.#fetcher.slots.slot(file.sizeBytes);
      const bytes = present.bytes.subarray(0, file.sizeBytes);
      const leaf = { offset: 0, lengthBytes: file.sizeBytes, contentId: file.contentId };
      if (readWhole(opened.fd, bytes, 0) !== bytes.length || !this.#fetcher.isLeaf(leaf, bytes)) return false;
      applyAttributes(opened.fd, file.attributes);
      return true;
    } finally {
      closeDescriptor(opened.fd);
    }
  }

  /** @returns bytes written as data */
  #make(file: SmallFile, bytes: Uint8Array): number {
    const instead = this.#output.existing === 'refuse' ? undefined : this.#temporaryName();
    if (file.kind === 'link') {
      // The system would take what stands before it for the whole.
      if (bytes.includes(0)) throw new RepositoryError('corrupt', 'the path that the link leads to holds a NUL');
      createLink(file, bytes, file.attributes, instead);
      return bytes.length;
    }
    const opened = createFile(file, instead);
    let written = 0;
    try {
      written = writeData(opened.fd, bytes);
      if (written < bytes.length) ftruncateSync(opened.fd, bytes.length);
    } catch (error) {
      dropFile(file, opened);
      throw error;
    }
    finishFile(file, opened, file.attributes);
    return written;
  }

  #temporaryName(): string {
    this.#temporaries += 1;
    return `${this.#output.temporaryPrefix}${threadId}-${this.#temporaries}`;
  }
}

function faultOf({ kind, contentId, sizeBytes }: SmallFile, lengthBytes: number): string | undefined {
  if (kind === 'file') {
    return lengthBytes === sizeBytes ? undefined : `content ${contentId} has ${lengthBytes} bytes, not ${sizeBytes}`;
  }
  return lengthBytes > 0 && lengthBytes <= linkBytesMax ? undefined : `no link leads to ${lengthBytes} bytes`;
}

/** Writes to a new file what is not zero. @returns bytes written */
function writeData(fd: number, bytes: Uint8Array): number {
  let written = 0;
  for (const { start, lengthBytes, zero } of dataRuns(bytes)) {
    if (zero) continue;
    writeAll(fd, bytes.subarray(start, start + lengthBytes), start);
    written += lengthBytes;
  }
  return written;
}
