/**
 * The pass of a restore over a tree of files. The main thread reads listings, makes folders and decides; the fetch workers
 * fetch, verify and write: small files whole and many to a task, large ones in parts. A folder is finished when all below
 * it is. Nothing grows with the tree but, for a moment, the names of one folder and the subfolders along one path. What is
 * damaged or cannot be made is told and left out; all else goes on.
 */
import { closeSync, openSync } from 'node:fs';

import type { BlobStoreLocation } from '../blobs/location.ts';
import { syncFileSystem } from '../kernel/folder-calls.ts';
import { directoryEntries } from '../repository/manifest/directory-entries.ts';
import type { DirEntry } from '../repository/manifest/dir-entry.ts';
import type { ObjectId } from '../repository/object/object-id.ts';
import type { Repository } from '../repository/repository.ts';
import { RepositoryError } from '../repository/repository-error.ts';
import { toError } from '../std/to-error.ts';
import { entryNameFault } from '../volume/entry-name.ts';
import { volumeError } from '../volume/volume-errors.ts';
import { attributesOf } from './entry-attributes.ts';
import type { EntryChoice } from './entry-choice.ts';
import type { ExistingFiles, FetchWorkers } from './fetch-messages.ts';
import { FetchQueue } from './fetch-queue.ts';
import { isDamage } from './damage.ts';
import { endsRestore, omission, type Omission } from './file-failure.ts';
import { FileTasks } from './file-tasks.ts';
import type { FilesCounts } from './files-counts.ts';
import type { PartialFile } from './files-state.ts';
import { FlushAhead } from './flush-ahead.ts';
import { OpenFolder, type FolderOptions } from './open-folder.ts';
import { RunFailure } from './run-failure.ts';

export interface FilesRunOptions {
  /** The folder that is restored, and its descriptor. */
  readonly root: DirEntry;
  readonly rootFd: number;
  readonly rootDevice: bigint;
  readonly choice: EntryChoice;
  /** Whether owners are restored. */
  readonly owners: boolean;
  readonly existing: ExistingFiles;
  readonly own: boolean;
  /** Begins the names of what this run has not finished, and of what any run of this restore has not. */
  readonly temporaryPrefix: string;
  readonly leftoverPrefix: string;
  /** Large files that an earlier run has begun. */
  readonly partial: readonly PartialFile[];
  readonly recordPartial: (partial: readonly PartialFile[]) => Promise<void>;
  readonly store: BlobStoreLocation;
  readonly parallel: number;
  readonly workers?: FetchWorkers | undefined;
  readonly onProgress: (counts: FilesCounts) => void;
  readonly onOmission: (omission: Omission) => void;
  readonly signal: AbortSignal;
}

/** Deeper than any path that Linux takes, with names of two letters. A bound on recursion and on open folders. */
const depthMax = 1000;
/** Folders that are open beside those on the way down, because something in them is still being written. */
const openFoldersMax = 512;

/** Where the walk is. */
interface Level {
  readonly names: readonly string[];
  /** True when the folder itself is wanted. */
  readonly inside: boolean;
}

export class FilesRun implements AsyncDisposable {
  readonly #repository: Repository;
  readonly #options: FilesRunOptions;
  readonly #failure: RunFailure;
  readonly #queue: FetchQueue;
  readonly #tasks: FileTasks;
  readonly #ahead: FlushAhead;
  readonly #folderOptions: FolderOptions;
  readonly #open = new Set<OpenFolder>();
  /** A folder of each further file system below the root, to be flushed. */
  readonly #devices = new Map<bigint, number>();
  readonly #counts: FilesCounts = {
    files: 0,
    links: 0,
    folders: 0,
    kept: 0,
    omitted: 0,
    doneBytes: 0,
    fetchedBytes: 0,
    packedBytes: 0,
    writtenBytes: 0,
  };

  constructor(repository: Repository, options: FilesRunOptions) {
    const { existing, temporaryPrefix, store, parallel, workers, signal } = options;
    this.#repository = repository;
    this.#options = options;
    const output = { kind: 'files', existing, temporaryPrefix } as const;
    this.#queue = new FetchQueue(repository, { output, store, parallel, workers, signal });
    this.#failure = new RunFailure(signal, (reason) => this.#queue.abort(reason));
    this.#folderOptions = {
      existing,
      leftoverPrefix: options.leftoverPrefix,
      kept: new Set(options.partial.map(({ name }) => name)),
      onOpened: (folder, fd, device) => this.#opened(folder, fd, device),
      onClosed: (folder) => void this.#open.delete(folder),
    };
    this.#ahead = new FlushAhead({
      flush: async () => await this.#flush(),
      onFailure: (error) => this.#failure.note(volumeError(error, 'write out what was restored')),
    });
    this.#tasks = new FileTasks(
      { repository, queue: this.#queue, failure: this.#failure, counts: this.#counts },
      {
        ...options,
        tell: (omitted) => this.#tell(omitted),
        release: (folder) => this.#release(folder),
        onWritten: (written) => this.#ahead.wrote(written),
      },
    );
  }

  /** Makes everything that can be made; when it resolves that is verified and on stable storage. */
  async process(): Promise<FilesCounts> {
    const { root, rootFd, rootDevice, owners, choice } = this.#options;
    const place = { parent: undefined, name: '', prefix: '', fd: rootFd };
    const folder = new OpenFolder(this.#folderOptions, place, attributesOf(root, { owners }));
    this.#devices.set(rootDevice, rootFd);
    await this.#walk(folder, root.object, { names: [], inside: choice.takesAll });
    await this.#tasks.settled();
    await this.#ahead.settled();
    this.#failure.throwIfAny();
    await this.#flush();
    return { ...this.#counts };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#failure[Symbol.dispose]();
    // First of all: a descriptor that is closed while a worker uses it may be another file a moment later.
    await this.#queue[Symbol.asyncDispose]();
    await this.#tasks[Symbol.asyncDispose]();
    await this.#ahead.settled();
    for (const folder of this.#open) folder.close();
    for (const fd of this.#devices.values()) if (fd !== this.#options.rootFd) closeSync(fd);
  }

  /** Of every file system below the root. */
  async #flush(): Promise<void> {
    for (const fd of this.#devices.values()) await syncFileSystem(fd);
  }

  /** Everything in a folder, files before folders. Releases the folder. */
  async #walk(folder: OpenFolder, object: ObjectId, { names, inside }: Level): Promise<void> {
    const { choice, owners } = this.#options;
    const subfolders: { readonly entry: DirEntry; readonly inside: boolean }[] = [];
    const isFree = nameCheck();
    for await (const entry of this.#entries(folder, object)) {
      const fault = isFree(entry.name);
      if (fault !== undefined) {
        this.#tell(omission(folder.prefix + entry.name, new RepositoryError('corrupt', fault)));
        continue;
      }
      const isFolder = entry.type === 'd';
      const chosen = choice.of([...names, entry.name], { inside, isFolder });
      if (chosen === 'skip') continue;
      if (isFolder) subfolders.push({ entry, inside: chosen === 'take' });
      else if (this.#enter(folder)) await this.#tasks.add(folder, entry);
    }
    for (const { entry, inside: taken } of subfolders) {
      await this.#tasks.room(() => this.#open.size - names.length > openFoldersMax);
      this.#failure.throwIfAny();
      const { name } = entry;
      const place = { parent: folder, name, prefix: `${folder.prefix}${name}/` };
      const child = new OpenFolder(this.#folderOptions, place, attributesOf(entry, { owners }));
      if (taken && !this.#enter(child)) this.#release(child);
      else await this.#walk(child, entry.object, { names: [...names, name], inside: taken });
    }
    this.#release(folder);
  }

  /** The entries that can be read; what cannot is told. */
  async *#entries(folder: OpenFolder, object: ObjectId): AsyncGenerator<DirEntry> {
    const { signal } = this.#options;
    try {
      if (folder.depth > depthMax)
        throw new RepositoryError('corrupt', `folders are nested more than ${depthMax} deep`);
      for await (const batch of directoryEntries(this.#repository, object, { signal })) {
        this.#failure.throwIfAny();
        yield* batch;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!isDamage(error)) throw error;
      this.#tell(omission(folder.prefix || '/', toError(error)));
    }
  }

  /** Opens a folder. @returns false when it cannot be made, which is told once */
  #enter(folder: OpenFolder): boolean {
    if (folder.failed) return false;
    try {
      folder.open();
      return true;
    } catch (error) {
      if (endsRestore(error)) throw volumeError(error, `make the folder ${folder.prefix}`);
      this.#tell(omission(folder.prefix, toError(error)));
      return false;
    }
  }

  #release(folder: OpenFolder): void {
    try {
      folder.release();
    } catch (error) {
      if (endsRestore(error)) this.#failure.note(volumeError(error, `finish the folder ${folder.prefix}`));
      else this.#tell(omission(folder.prefix || '/', toError(error)));
    }
  }

  #opened(folder: OpenFolder, fd: number, device: bigint | undefined): void {
    this.#open.add(folder);
    this.#counts.folders += 1;
    if (device === undefined || this.#devices.has(device)) return;
    this.#devices.set(device, openSync(`/proc/self/fd/${fd}`, 'r'));
  }

  #tell(omitted: Omission): void {
    this.#counts.omitted += 1;
    this.#options.onOmission(omitted);
  }
}

/** Tells why a name cannot be used in one folder: for what it is, or because it was there before. */
function nameCheck(): (name: string) => string | undefined {
  const names = new Set<string>();
  return (name) => {
    const fault = entryNameFault(name);
    if (fault !== undefined) return fault;
    if (names.has(name)) return 'the folder has this name twice';
    names.add(name);
    return undefined;
  };
}
