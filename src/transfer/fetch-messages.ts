/** What the main thread asks of a fetch worker (`fetch-worker.ts`), and what comes back. All of it is structured-clonable. */
import type { BlobStoreLocation } from '../blobs/location.ts';
import type { ContentId } from '../repository/content/content-id.ts';
import type { ContentFormat } from '../repository/format/content-format.ts';
import type { IndexLookupLocation } from '../repository/index/index-lookup.ts';
import type { TransferredError } from '../std/error-transfer.ts';
import { WorkerGroup } from '../std/worker-group.ts';
import type { TargetLocation } from '../volume/block-target.ts';
import type { FileAttributes } from '../volume/file-attributes.ts';

/** Bytes of the volume that one task covers, unless a single foreign chunk is larger. */
export const fetchTaskBytes: number = 4 * 1024 * 1024;
/** Under way at once: of a bucket, so many that the way there and back is waited for by few. */
export const fetchTasksPerWorker: Readonly<Record<BlobStoreLocation['kind'], number>> = { directory: 3, s3: 8 };

export interface FetchWorkerData {
  readonly store: BlobStoreLocation;
  readonly format: ContentFormat;
  readonly index: IndexLookupLocation;
  readonly output: FetchOutput;
}

/** What a restore writes to. */
export type FetchOutput = VolumeOutput | FilesOutput;

export interface VolumeOutput {
  readonly kind: 'volume';
  readonly target: TargetLocation;
  /** Where the volume ends; bytes of a padded last chunk beyond it are checked and not written. */
  readonly sizeBytes: number;
}

export interface FilesOutput {
  readonly kind: 'files';
  readonly existing: ExistingFiles;
  /** How names begin of what is written beside what it is to replace. */
  readonly temporaryPrefix: string;
}

/**
 * What is done about a name that is taken. `refuse`: it is left alone and told. `replace`: it is replaced, but a file of
 * the very bytes only gets its attributes. `trust`: also, a file of the right size and time is believed to be whole.
 */
export type ExistingFiles = 'refuse' | 'replace' | 'trust';

/** A chunk of the volume, in the order of its offsets; the chunks of a task touch each other. */
export interface FetchLeaf {
  readonly offset: number;
  readonly lengthBytes: number;
  readonly contentId: ContentId;
  /** The content is their compressed form (format version 1). */
  readonly compressed?: boolean | undefined;
}

/**
 * Fetch the leaves, check them against their ids, write them; `delta` compares what the target holds with the ids first and
 * fetches only what differs. Answer: Fetched, or `gone`: the index, as the worker knows it, leads to nothing, and nothing
 * was written. With `again`, what is gone is damage.
 */
export interface LeavesTask {
  readonly kind: 'fetch' | 'delta';
  readonly leaves: readonly FetchLeaf[];
  readonly again?: boolean;
}

export type FetchTask =
  | LeavesTask
  /** The index was loaded anew: look there from now on. The tables of before are not used any more when this is answered. */
  | { readonly kind: 'index'; readonly index: IndexLookupLocation }
  | ZeroTask
  | FilesTask
  | PartTask;

/** Make this range of the target read as zeros; with `compare`, write only where it does not. Answer: Fetched. */
export interface ZeroTask {
  readonly kind: 'zero';
  readonly offset: number;
  readonly lengthBytes: number;
  readonly compare: boolean;
}

/**
 * Make these files and links, whole, with their attributes. Descriptors of folders are the process's, so every thread has
 * them. Answer: FilesFetched, or `gone` when nothing was written.
 */
export interface FilesTask {
  readonly kind: 'files';
  readonly files: readonly SmallFile[];
  readonly again?: boolean;
}

/** A file or link that is one content. */
export interface SmallFile {
  /** Descriptor of its folder. */
  readonly folder: number;
  readonly name: string;
  readonly kind: 'file' | 'link';
  readonly contentId: ContentId;
  /** What the listing says; of files only it must be right. */
  readonly sizeBytes: number;
  readonly attributes: FileAttributes;
}

/**
 * Write part of a file that is open, as `leaves` say; with `compare`, fetch only what differs. Answer: Fetched with what
 * is damaged, or `gone` when nothing was written.
 */
export interface PartTask {
  readonly kind: 'part';
  readonly fd: number;
  /** Of the same file, past the page cache, where there is one. */
  readonly directFd: number | undefined;
  readonly leaves: readonly FetchLeaf[];
  readonly compare: boolean;
  readonly again?: boolean;
}

export interface Fetched {
  readonly fetchedBytes: number;
  /** Bytes as stored: what was read from the repository. */
  readonly packedBytes: number;
  readonly writtenBytes: number;
}

export interface FilesFetched extends Fetched {
  /** Files that were whole already. */
  readonly kept: number;
  /** What could not be made, by its place in the task; of a part, the part is the only one. */
  readonly failures: readonly FileFailure[];
}

export interface FileFailure {
  readonly index: number;
  readonly error: TransferredError;
}

/** Undefined is the answer to `index`. */
export type FetchAnswer = Fetched | FilesFetched | 'gone' | undefined;

export type FetchWorkers = WorkerGroup<FetchTask, FetchAnswer>;

/** Threads that begin to load; a restore takes them over, or whoever made them closes them. */
export function fetchWorkers(workers: number): FetchWorkers {
  const module = new URL(`./fetch-worker${import.meta.url.slice(-3)}`, import.meta.url);
  return new WorkerGroup({ module, workers, tasksPerWorker: fetchTasksPerWorker.directory });
}
