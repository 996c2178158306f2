/**
 * The local directory of decrypted indexes, so that opening a repository again costs opening files. Blobs never change
 * under their name, so what is here is never out of date; several processes share it without locks (files appear whole,
 * by rename); and it may be deleted at any time, even while tables are open. Nothing is synced: a file that a power cut
 * has damaged fails its checksum and is made again.
 *
 * A blob is decrypted in memory as a whole (Kopia's are at most 16 million entries, about 800 MB; flushed ones are
 * small): streaming decryption would save that peak when a very large repository is opened for the first time.
 */
import { close, open, unlink, utimes } from 'node:fs';
import { readdir, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { blake3 } from '@napi-rs/blake-hash';

import type { BlobId } from '../../blobs/blob-store.ts';
import { isErrno, makeDirectories, temporaryName } from '../../std/atomic-write.ts';
import type { Clock } from '../../std/clock.ts';
import { hasCode } from '../../std/dray-error.ts';
import { systemRng } from '../../std/rng.ts';
import { RepositoryError } from '../repository-error.ts';
import { checkIndex } from './check-index.ts';
import { encodeCursor } from './encode-index.ts';
import { damagedTable } from './index-bytes.ts';
import { MergeCursor } from './merge.ts';
import { readEnd, TableFile } from './table-file.ts';
import { writeTable } from './write-table.ts';

const openFd = promisify(open);
const closeFd = promisify(close);
const touch = promisify(utimes);
const remove = promisify(unlink);

const suffix = '.index';
const mergedPrefix = 'merged-';
/** Files that nobody has opened for this long are removed, milliseconds. */
const staleMs = 24 * 60 * 60 * 1000;

export interface IndexCacheOptions {
  readonly directory: string;
  /** 32 bytes, derived from the repository's secrets. */
  readonly key: Uint8Array;
  /** Bytes of every index key in this repository. */
  readonly keySize: number;
  readonly clock: Clock;
}

export class IndexCache {
  readonly #directory: string;
  readonly #key: Uint8Array;
  readonly #keySize: number;
  readonly #clock: Clock;

  constructor({ directory, key, keySize, clock }: IndexCacheOptions) {
    this.#directory = directory;
    this.#key = key;
    this.#keySize = keySize;
    this.#clock = clock;
  }

  /** The table of exactly these blobs, if there is a whole one. */
  async open(covers: readonly BlobId[]): Promise<TableFile | undefined> {
    const path = this.#path(covers);
    const fd = await this.#openToRead(path);
    if (fd === undefined) return undefined;
    const file = await TableFile.verified(fd, path, this.#key);
    if (file !== undefined && coverName(file.covers) === coverName(covers) && this.#fits(file)) {
      const now = this.#clock.nowMs() / 1000;
      await touch(path, now, now).catch(() => undefined);
      return file;
    }
    file?.release();
    await remove(path).catch(() => undefined);
    return undefined;
  }

  /** What the merged tables in the directory say that they cover. Unverified: `open` decides. */
  async merged(): Promise<(readonly BlobId[])[]> {
    const found: (readonly BlobId[])[] = [];
    for (const name of await this.#names()) {
      if (!name.startsWith(mergedPrefix) || !name.endsWith(suffix)) continue;
      const fd = await this.#openToRead(join(this.#directory, name));
      if (fd === undefined) continue;
      try {
        const end = await readEnd(fd);
        if (end !== undefined) found.push(end.covers);
      } catch (error) {
        throw new RepositoryError('index-cache', `read ${name} in the cache folder ${this.#directory}`, {
          cause: error,
        });
      } finally {
        await closeFd(fd);
      }
    }
    return found;
  }

  /**
   * Keeps the index of one blob and opens it.
   * @param index decrypted; belongs to the call
   * @throws {RepositoryError} `corrupt` when it is no proper index; `index-cache`
   */
  async add(blob: BlobId, index: Uint8Array, { signal }: { readonly signal: AbortSignal }): Promise<TableFile> {
    try {
      checkIndex(index, { keySize: this.#keySize });
    } catch (error) {
      throw new RepositoryError('corrupt', `index blob ${blob}`, { cause: error });
    }
    return await this.#write([blob], [index], signal);
  }

  /**
   * Merges tables into one that covers what they cover. They stay open, and the caller's.
   * @throws {RepositoryError} `index-cache`
   */
  async merge(files: readonly TableFile[], { signal }: { readonly signal: AbortSignal }): Promise<TableFile> {
    const cursor = (): MergeCursor => new MergeCursor(files.map(({ table }) => table.cursor()));
    const covers = [...new Set(files.flatMap((file) => file.covers))].toSorted();
    let merged: TableFile | undefined;
    try {
      merged = await this.#write(covers, encodeCursor(cursor, 2), signal);
      await this.verifyAgain(files);
      return merged;
    } catch (error) {
      merged?.release();
      if (merged !== undefined) await this.forget(covers);
      if (hasCode(error, 'corrupt')) await this.verifyAgain(files);
      throw error;
    }
  }

  /**
   * For tables that something was made of: what the disk has changed since they were opened must not be passed on,
   * least of all under a good checksum, and is no damage of the repository.
   * @throws {RepositoryError} `index-cache`
   */
  async verifyAgain(files: readonly TableFile[]): Promise<void> {
    for (const file of files) await file.verifyAgain(this.#key);
  }

  /** Removes the table of these blobs, if it is there. Who has it open keeps it. */
  async forget(covers: readonly BlobId[]): Promise<void> {
    await remove(this.#path(covers)).catch(() => undefined);
  }

  /** Removes what nobody has opened for a day and is not in use here. */
  async sweep(inUse: ReadonlySet<string>): Promise<void> {
    for (const name of await this.#names()) {
      const path = join(this.#directory, name);
      if (inUse.has(path) || !name.includes(suffix)) continue;
      const found = await stat(path).catch(() => undefined);
      if (found !== undefined && found.mtimeMs < this.#clock.nowMs() - staleMs)
        await remove(path).catch(() => undefined);
    }
  }

  #path(covers: readonly BlobId[]): string {
    return join(this.#directory, coverName(covers) + suffix);
  }

  #fits({ table: { layout } }: TableFile): boolean {
    return layout.count === 0 || layout.keySize === this.#keySize;
  }

  async #names(): Promise<string[]> {
    try {
      return await readdir(this.#directory);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return [];
      throw new RepositoryError('index-cache', `list the cache folder ${this.#directory}`, { cause: error });
    }
  }

  async #openToRead(path: string): Promise<number | undefined> {
    try {
      return await openFd(path, 'r');
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined;
      throw new RepositoryError('index-cache', `open ${path} in the cache folder`, { cause: error });
    }
  }

  async #write(covers: readonly BlobId[], pieces: Iterable<Uint8Array>, signal: AbortSignal): Promise<TableFile> {
    const path = this.#path(covers);
    const temporary = temporaryName(path, systemRng);
    try {
      const fd = await this.#create(temporary);
      try {
        await writeTable(fd, { covers, pieces, key: this.#key, signal });
      } catch (error) {
        await closeFd(fd);
        throw error;
      }
      const file = await TableFile.verified(fd, path, this.#key);
      if (file === undefined) throw damagedTable(path);
      // When the directory was deleted meanwhile, the open file is all that is needed.
      await rename(temporary, path).catch((error: unknown) => {
        if (!isErrno(error, 'ENOENT')) throw error;
      });
      return file;
    } catch (error) {
      await remove(temporary).catch(() => undefined);
      signal.throwIfAborted();
      if (error instanceof RepositoryError) throw error;
      throw new RepositoryError('index-cache', `write to the cache folder ${this.#directory}`, { cause: error });
    }
  }

  async #create(path: string): Promise<number> {
    try {
      return await openFd(path, 'wx+', 0o600);
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error;
      await makeDirectories(this.#directory, { mode: 0o700 });
      return await openFd(path, 'wx+', 0o600);
    }
  }
}

/** File name of the table that covers these blobs: a blob's own name, or a hash of all names. */
function coverName(covers: readonly BlobId[]): string {
  if (covers.length === 1) return covers[0]!;
  return mergedPrefix + blake3(covers.toSorted().join('\n')).toString('hex').slice(0, 32);
}
