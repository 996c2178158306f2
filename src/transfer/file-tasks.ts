/**
 * From entries of listings to tasks for the fetch workers: small files and links are gathered, whole, into batches of any
 * folders; large files become parts. Counts what comes back, and finishes what is complete.
 */
import type { DirEntry } from '../repository/manifest/dir-entry.ts';
import { directContent, isCompressed, isIndirect } from '../repository/object/object-id.ts';
import type { Repository } from '../repository/repository.ts';
import { RepositoryError } from '../repository/repository-error.ts';
import { unpackError } from '../std/error-transfer.ts';
import { toError } from '../std/to-error.ts';
import { attributesOf } from './entry-attributes.ts';
import { fetchTaskBytes, type FilesFetched, type SmallFile } from './fetch-messages.ts';
import type { FetchQueue } from './fetch-queue.ts';
import { isDamage } from './damage.ts';
import { omission } from './file-failure.ts';
import { addBytes, filesFetched, type FilesCounts } from './files-counts.ts';
import { LargeFiles, type LargeFilesOptions } from './large-files.ts';
import type { OpenFolder } from './open-folder.ts';
import type { RunFailure } from './run-failure.ts';

export interface FileTasksParts {
  readonly repository: Repository;
  readonly queue: FetchQueue;
  readonly failure: RunFailure;
  /** Counted into. */
  readonly counts: FilesCounts;
}

export interface FileTasksOptions extends LargeFilesOptions {
  readonly owners: boolean;
  readonly onProgress: (counts: FilesCounts) => void;
  /** So much more of small files lies in the page cache. */
  readonly onWritten: (written: { readonly files: number; readonly bytes: number }) => void;
}

/**
 * Files in one task: few enough to keep all workers at work, and enough for most of what a program that wrote several
 * packs at once has put side by side to be read together.
 */
const filesPerTask = 384;

interface Batched {
  readonly file: SmallFile;
  readonly folder: OpenFolder;
}

export class FileTasks implements AsyncDisposable {
  readonly #parts: FileTasksParts;
  readonly #options: FileTasksOptions;
  readonly #underWay = new Set<Promise<void>>();
  readonly #large: LargeFiles;
  #batch: Batched[] = [];
  #batchBytes = 0;

  constructor(parts: FileTasksParts, options: FileTasksOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#large = new LargeFiles({ ...parts, track: (work) => this.#track(work) }, options);
  }

  /** Takes over an entry of an open folder that is none itself. Resolves when more may come. */
  async add(folder: OpenFolder, entry: DirEntry): Promise<void> {
    const path = folder.prefix + entry.name;
    const { type, object, name, sizeBytes } = entry;
    if (type !== 'f' && type !== 's') {
      const reason = `entries of type ${JSON.stringify(type.slice(0, 20))} are not restored`;
      this.#options.tell({ path, cause: 'kind', reason });
      return;
    }
    const attributes = attributesOf(entry, this.#options);
    if (type === 'f' && (isIndirect(object) || isCompressed(object))) {
      await this.#large.add(folder, object, { path, folder: folder.open(), name, sizeBytes, attributes });
      this.#options.onProgress(this.#parts.counts);
      return;
    }
    try {
      const kind = type === 'f' ? 'file' : 'link';
      if (isIndirect(object)) throw new RepositoryError('corrupt', 'no link is as long as this');
      const contentId = directContent(object);
      const file: SmallFile = { folder: folder.open(), name, kind, contentId, sizeBytes, attributes };
      folder.hold();
      this.#batch.push({ file, folder });
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#options.tell(omission(path, toError(error)));
      return;
    }
    this.#batchBytes += sizeBytes;
    if (this.#batchBytes >= fetchTaskBytes || this.#batch.length >= filesPerTask) await this.#flush();
  }

  /** Waits, while it is too full, for something to end. */
  async room(isFull: () => boolean): Promise<void> {
    while (isFull()) {
      this.#parts.failure.throwIfAny();
      await this.#flush();
      if (this.#underWay.size === 0) return;
      await Promise.race(this.#underWay);
    }
  }

  /** Hands out what is left, and resolves when all has come back. */
  async settled(): Promise<void> {
    await this.#flush();
    while (this.#underWay.size > 0) await Promise.race(this.#underWay);
    await this.#large.settled();
  }

  /** Leaves what is not finished as it is. Only when no worker is at work any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#large[Symbol.asyncDispose]();
  }

  async #flush(): Promise<void> {
    const batch = this.#batch;
    if (batch.length === 0) return;
    this.#batch = [];
    this.#batchBytes = 0;
    const { queue } = this.#parts;
    await queue.ready();
    this.#parts.failure.throwIfAny();
    await queue.submit({ kind: 'files', files: batch.map(({ file }) => file) }, (outcome) => {
      this.#track(outcome.then((answer) => this.#made(batch, filesFetched(answer))));
    });
  }

  #made(batch: readonly Batched[], { failures, kept, ...bytes }: FilesFetched): void {
    const { counts } = this.#parts;
    const failed = new Set(failures.map(({ index }) => index));
    for (const { index, error } of failures) {
      const { file, folder } = batch[index]!;
      this.#options.tell(omission(folder.prefix + file.name, unpackError(error)));
    }
    for (const [index, { file, folder }] of batch.entries()) {
      if (!failed.has(index)) counts[file.kind === 'file' ? 'files' : 'links'] += 1;
      if (file.kind === 'file') counts.doneBytes += file.sizeBytes;
      this.#options.release(folder);
    }
    counts.kept += kept;
    addBytes(counts, bytes);
    this.#options.onWritten({ files: batch.length - kept, bytes: bytes.writtenBytes });
    this.#options.onProgress(counts);
  }

  #track(work: Promise<void>): void {
    const tracked = work
      .catch((error: unknown) => this.#parts.failure.note(error))
      .finally(() => this.#underWay.delete(tracked));
    this.#underWay.add(tracked);
  }
}
