/**
 * The large files of a restore: reads what each is made of, hands its parts to the fetch workers, and finishes it with the
 * last of them. How far each is, is recorded every now and then, so that a kill costs no more than that.
 */
import { leaves } from '../repository/object/object-reader.ts';
import type { LeafRun } from '../repository/object/leaf-run.ts';
import type { ObjectId } from '../repository/object/object-id.ts';
import type { Repository } from '../repository/repository.ts';
import { RepositoryError } from '../repository/repository-error.ts';
import { unpackError } from '../std/error-transfer.ts';
import { toError } from '../std/to-error.ts';
import { extent } from '../volume/extent.ts';
import { volumeError } from '../volume/volume-errors.ts';
import type { ExistingFiles, FilesFetched } from './fetch-messages.ts';
import type { FetchQueue } from './fetch-queue.ts';
import { isDamage } from './damage.ts';
import { endsRestore, omission, type Omission } from './file-failure.ts';
import { addBytes, filesFetched, type FilesCounts } from './files-counts.ts';
import type { PartialFile } from './files-state.ts';
import { LargeFile, type LargeFilePlace } from './large-file.ts';
import { leafTasks, zeroTest, type LeafTask } from './leaf-tasks.ts';
import type { OpenFolder } from './open-folder.ts';
import type { RunFailure } from './run-failure.ts';

export interface LargeFilesParts {
  readonly repository: Repository;
  readonly queue: FetchQueue;
  readonly failure: RunFailure;
  /** Counted into. */
  readonly counts: FilesCounts;
  /** Takes over work that must have ended before the restore does; its failure is the run's. */
  readonly track: (work: Promise<void>) => void;
}

export interface LargeFilesOptions {
  readonly existing: ExistingFiles;
  /** True when whatever is in the target was made by this restore. */
  readonly own: boolean;
  readonly temporaryPrefix: string;
  readonly partial: readonly PartialFile[];
  readonly recordPartial: (partial: readonly PartialFile[]) => Promise<void>;
  readonly tell: (omitted: Omission) => void;
  readonly release: (folder: OpenFolder) => void;
  readonly signal: AbortSignal;
}

/** Bytes between two records of how far large files are. */
const recordBytes = 64 * 1024 * 1024;

interface OnItsWay {
  readonly file: LargeFile;
  readonly folder: OpenFolder;
}

export class LargeFiles implements AsyncDisposable {
  readonly #parts: LargeFilesParts;
  readonly #options: LargeFilesOptions;
  readonly #partial: ReadonlyMap<string, PartialFile>;
  readonly #isZero: (run: LeafRun) => boolean;
  readonly #onTheirWay = new Set<OnItsWay>();
  #temporaries = 0;
  #unrecordedBytes = 0;
  #recording: Promise<void> | undefined;

  constructor(parts: LargeFilesParts, options: LargeFilesOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#partial = new Map(options.partial.map((file) => [file.path, file]));
    this.#isZero = zeroTest((bytes) => parts.repository.codec.hash(bytes));
  }

  /** Resolves when all parts of the file are handed out. @throws what ends the restore */
  async add(folder: OpenFolder, object: ObjectId, place: LargeFilePlace): Promise<void> {
    let file: LargeFile | undefined;
    try {
      file = this.#begin(place);
    } catch (error) {
      const what = volumeError(error, `make ${place.path}`);
      if (endsRestore(error)) throw what;
      this.#options.tell(omission(place.path, toError(what)));
      return;
    }
    const { counts } = this.#parts;
    if (file === undefined) {
      counts.files += 1;
      counts.kept += 1;
      counts.doneBytes += place.sizeBytes;
      return;
    }
    folder.hold();
    const item = { file, folder };
    this.#onTheirWay.add(item);
    counts.doneBytes += file.progress.watermark;
    await this.#hand(item, object, place.sizeBytes);
    file.listed = true;
    this.#finishIfDone(item);
  }

  /** Resolves when no record is being written. */
  async settled(): Promise<void> {
    await this.#recording;
  }

  /** Leaves what is not finished as it is. Only when no worker is at work any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#recording;
    for (const { file } of this.#onTheirWay) file.close();
    this.#onTheirWay.clear();
  }

  #begin(place: LargeFilePlace): LargeFile | undefined {
    const { existing, own, temporaryPrefix } = this.#options;
    this.#temporaries += 1;
    const temporaryName = `${temporaryPrefix}0-${this.#temporaries}`;
    return LargeFile.open(place, { existing, own, partial: this.#partial.get(place.path), temporaryName });
  }

  /** Hands out what is above the watermark. That a list is damaged makes the file so, and no more. */
  async #hand(item: OnItsWay, object: ObjectId, sizeBytes: number): Promise<void> {
    const { repository, failure } = this.#parts;
    const { signal } = this.#options;
    const { file } = item;
    const { watermark } = file.progress;
    if (watermark === sizeBytes) return;
    const within = watermark === 0 ? undefined : extent(watermark, sizeBytes - watermark);
    let end = watermark;
    try {
      const batches = leaves(repository, object, { within, compressed: true, signal });
      for await (const task of leafTasks(batches, { isZero: this.#isZero, sizeBytes: Infinity })) {
        failure.throwIfAny();
        end = task.offset + task.lengthBytes;
        if (end > sizeBytes || file.damage !== undefined) break;
        await this.#part(item, task);
      }
      if (end !== sizeBytes && file.damage === undefined) {
        throw new RepositoryError('corrupt', `object ${object} has not the ${sizeBytes} bytes that its entry says`);
      }
    } catch (error) {
      signal.throwIfAborted();
      failure.throwIfAny();
      if (!isDamage(error)) throw error;
      file.damaged(toError(error));
    }
  }

  async #part(item: OnItsWay, task: LeafTask): Promise<void> {
    const { queue, track, counts } = this.#parts;
    const { file } = item;
    const { offset, lengthBytes } = task;
    if (task.kind === 'zero') {
      await file.hole(offset, lengthBytes);
      counts.doneBytes += lengthBytes;
      return;
    }
    await queue.ready();
    file.begin(offset, lengthBytes);
    const { fd, directFd, compare } = file;
    await queue.submit({ kind: 'part', fd, directFd, leaves: task.leaves, compare }, (outcome) => {
      track(outcome.then((answer) => this.#written(item, task, filesFetched(answer))));
    });
  }

  #written(item: OnItsWay, { offset, lengthBytes }: LeafTask, answer: FilesFetched): void {
    const { counts } = this.#parts;
    const [failed] = answer.failures;
    if (failed !== undefined) item.file.damaged(unpackError(failed.error));
    item.file.end(offset);
    counts.doneBytes += lengthBytes;
    addBytes(counts, answer);
    this.#unrecordedBytes += lengthBytes;
    this.#finishIfDone(item);
    this.#recordIfDue();
  }

  #finishIfDone(item: OnItsWay): void {
    const { file, folder } = item;
    if (!file.listed || !file.isIdle) return;
    this.#onTheirWay.delete(item);
    try {
      file.finish();
      if (file.damage === undefined) this.#parts.counts.files += 1;
      else this.#options.tell(omission(file.path, file.damage));
    } catch (error) {
      const what = volumeError(error, `finish ${file.path}`);
      if (endsRestore(error)) this.#parts.failure.note(what);
      else this.#options.tell(omission(file.path, toError(what)));
    }
    this.#options.release(folder);
  }

  #recordIfDue(): void {
    if (this.#recording !== undefined || this.#unrecordedBytes < recordBytes) return;
    this.#unrecordedBytes = 0;
    const partial = Array.from(this.#onTheirWay, ({ file }) => file.progress);
    this.#recording = this.#options
      .recordPartial(partial)
      .catch((error: unknown) => this.#parts.failure.note(error))
      .finally(() => (this.#recording = undefined));
  }
}
