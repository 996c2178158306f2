/**
 * The bytes of one index, read by position: in memory, or in a file on local disk (Node has no mmap). Reads are
 * synchronous on purpose: a lookup is one or two reads of 4 KiB that are in the page cache, about 2 microseconds each,
 * where an asynchronous read costs fifty.
 */
import assert from 'node:assert/strict';
import { readSync } from 'node:fs';
import { basename, dirname } from 'node:path';

import { RepositoryError } from '../repository-error.ts';

export interface IndexBytes {
  /** Fills `into[0 .. lengthBytes]` from position `at`. @throws {RepositoryError} what `damage` makes, when there is less. */
  read(at: number, into: Buffer, lengthBytes: number): void;
  /**
   * What to throw when these bytes cannot be what they should: `corrupt` for an index that came from the repository;
   * `index-cache` for a local file, which was verified when it was opened, so that only the local disk is to blame.
   */
  damage(what: string, options?: ErrorOptions): RepositoryError;
}

export class FileIndexBytes implements IndexBytes {
  #fd: number;
  readonly #path: string;

  /** @param fd stays open, and stays the caller's */
  constructor(fd: number, path: string) {
    this.#fd = fd;
    this.#path = path;
  }

  /** No read may come after this: the number may name another file by then. */
  detach(): void {
    this.#fd = -1;
  }

  read(at: number, into: Buffer, lengthBytes: number): void {
    assert(this.#fd >= 0, `index table ${this.#path} is open`);
    let done = 0;
    while (done < lengthBytes) {
      const got = this.#readOnce(at + done, into, done, lengthBytes - done);
      if (got === 0) throw this.damage(`an index ends at ${at + done}`);
      done += got;
    }
  }

  damage(what: string, options?: ErrorOptions): RepositoryError {
    return damagedTable(this.#path, { cause: new Error(what, options) });
  }

  #readOnce(at: number, into: Buffer, offset: number, lengthBytes: number): number {
    try {
      return readSync(this.#fd, into, offset, lengthBytes, at);
    } catch (error) {
      throw new RepositoryError('index-cache', `read index table ${this.#path}`, { cause: error });
    }
  }
}

export class MemoryIndexBytes implements IndexBytes {
  readonly #bytes: Buffer;

  /** @param bytes borrowed */
  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  read(at: number, into: Buffer, lengthBytes: number): void {
    if (at + lengthBytes > this.#bytes.length) throw this.damage(`an index ends before ${at}`);
    this.#bytes.copy(into, 0, at, at + lengthBytes);
  }

  damage(what: string, options?: ErrorOptions): RepositoryError {
    return new RepositoryError('corrupt', what, options);
  }
}

/** A file of the local cache that has changed since it was verified. The next opening makes it again. */
export function damagedTable(path: string, options?: ErrorOptions): RepositoryError {
  const what = `the cache folder ${dirname(path)} holds a damaged file, ${basename(path)}`;
  return new RepositoryError('index-cache', what, options);
}
