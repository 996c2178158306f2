import { constants } from 'node:fs';
import { DirectFile } from '../../kernel/direct-file.ts';
import { cachedFraction } from '../../kernel/page-cache.ts';
import { BlobError } from '../blob-store.ts';

/** Below this part of a file in the page cache, reads go past it. */
const cachedFractionMin = 0.5;

export interface OpenBlob {
  readonly file: DirectFile;
  readonly sizeBytes: number;
}

interface Handle {
  readonly opened: Promise<OpenBlob>;
  readers: number;
  /** No longer in the table: closed by its last reader. */
  dropped: boolean;
}

/**
 * Open files of blobs that never change, the most recently used kept: a restore reads many ranges of one pack. A file
 * that was replaced or removed by others meanwhile is still read as it was, which is right for immutable blobs only.
 */
export class ReadHandles implements AsyncDisposable {
  readonly #filesMax: number;
  /** In order of use, the latest last. */
  readonly #handles = new Map<string, Handle>();

  constructor({ filesMax }: { readonly filesMax: number }) {
    this.#filesMax = filesMax;
  }

  /** Runs `work` with the file of `path` open. Reads may overlap. */
  async use<T>(path: string, work: (blob: OpenBlob) => Promise<T>): Promise<T> {
    const handle = this.#handles.get(path) ?? openHandle(path);
    this.#handles.delete(path);
    this.#handles.set(path, handle);
    handle.readers += 1;
    try {
      await this.#evict();
      return await work(await handle.opened);
    } catch (error) {
      if (this.#handles.get(path) === handle) await this.forget(path);
      throw error;
    } finally {
      handle.readers -= 1;
      if (handle.dropped) await closeIdle(handle);
    }
  }

  /** Opens anew at the next use: the blob was removed or replaced. Reads under way go on. */
  async forget(path: string): Promise<void> {
    const handle = this.#handles.get(path);
    this.#handles.delete(path);
    if (handle === undefined) return;
    handle.dropped = true;
    await closeIdle(handle);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#handles.keys()].map((path) => this.forget(path)));
  }

  async #evict(): Promise<void> {
    for (const [path] of this.#handles) {
      if (this.#handles.size <= this.#filesMax) return;
      await this.forget(path);
    }
  }
}

function openHandle(path: string): Handle {
  const opened = openToRead(path, { pastCache: true });
  // It may fail while its reader still waits for others to be closed: to Node that would be a failure that nobody looks at.
  opened.catch(() => undefined);
  return { opened, readers: 0, dropped: false };
}

async function closeIdle(handle: Handle): Promise<void> {
  if (handle.readers > 0) return;
  const opened = await handle.opened.catch(() => undefined);
  await opened?.file[Symbol.asyncDispose]();
}

/** Without O_NONBLOCK a named pipe in a blob's place would wait for a writer for ever. */
const flags = constants.O_RDONLY | constants.O_NONBLOCK;

/**
 * @param options.pastCache read aligned pieces past the page cache when most of the file is not in it: filling the cache
 *   costs more than the read.
 * @throws {BlobError} `blob-not-found` when it is no regular file; system errors pass
 */
export async function openToRead(path: string, options: { readonly pastCache?: boolean } = {}): Promise<OpenBlob> {
  const file = await DirectFile.open(path, { flags, direct: false });
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw new BlobError('blob-not-found', `${path} is not a regular file`);
    const sizeBytes = Number(stats.size);
    if (options.pastCache !== true || (cachedFraction(file.fd, sizeBytes) ?? 1) >= cachedFractionMin) {
      return { file, sizeBytes };
    }
    const direct = await DirectFile.open(path, { flags, direct: true });
    await file[Symbol.asyncDispose]();
    return { file: direct, sizeBytes };
  } catch (error) {
    await file[Symbol.asyncDispose]();
    throw error;
  }
}
