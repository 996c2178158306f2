/**
 * The bytes of one index, read by position: in memory, or in a file on local disk (Node has no mmap). Reads are
 * synchronous on purpose: a lookup is one or two reads of 4 KiB that are in the page cache, about 2 microseconds each,
 * where an asynchronous read costs fifty.
 */
import assert from 'node:assert/strict';
import { readSync } from 'node:fs';

import { RepositoryError } from '../repository-error.ts';

export interface IndexBytes {
  /** Fills `into[0 .. lengthBytes]` from position `at`. @throws {RepositoryError} `corrupt` when there is less. */
  read(at: number, into: Buffer, lengthBytes: number): void;
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
      if (got === 0) throw new RepositoryError('corrupt', `index table ${this.#path} ends at ${at + done}`);
      done += got;
    }
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
    if (at + lengthBytes > this.#bytes.length) throw new RepositoryError('corrupt', `an index ends before ${at}`);
    this.#bytes.copy(into, 0, at, at + lengthBytes);
  }
}
