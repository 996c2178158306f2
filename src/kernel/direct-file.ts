/**
 * An open file or device with two descriptors: one buffered, one past the page cache (O_DIRECT) for the pieces that
 * are aligned in memory, in position and in length. O_DIRECT costs a tenth of the CPU of buffered writes and leaves the
 * page cache alone. Where it is refused (EINVAL on opening or at the first use) everything goes through the
 * buffered descriptor. The kernel keeps both coherent: direct I/O writes back and drops the cached pages it touches.
 * Errors are the system's own; the callers give them their folder's codes.
 */
import { close, constants, fdatasync, fstat, fsync, ftruncate, open, read, write, type BigIntStats } from 'node:fs';
import { promisify } from 'node:util';
import { isErrno } from '../std/atomic-write.ts';
import { directAlignmentBytes, isDirectAligned } from './aligned-memory.ts';
import { cachedBytes } from './page-cache.ts';
import { preadCached } from './sys.ts';

const openFile = promisify(open);
const closeFile = promisify(close);

export interface OpenOptions {
  /** `O_…` constants for both descriptors; what creates, truncates or excludes is applied by the first alone. */
  readonly flags: number;
  /** Permission bits of a file made by O_CREAT. */
  readonly mode?: number | undefined;
  /** Try to have the second descriptor. */
  readonly direct: boolean;
}

export class DirectFile implements AsyncDisposable {
  /** The buffered descriptor, for system calls; valid while `use` runs. */
  readonly fd: number;
  readonly #directFd: number | undefined;
  #direct: boolean;
  #inUse = 0;
  #idle: (() => void) | undefined;
  #closed = false;

  constructor(fd: number, directFd: number | undefined) {
    this.fd = fd;
    this.#directFd = directFd;
    this.#direct = directFd !== undefined;
  }

  /** Throws the system's error of the buffered open; a refused direct one is not an error. */
  static async open(path: string, { flags, mode, direct }: OpenOptions): Promise<DirectFile> {
    const fd = await openFile(path, flags, mode);
    if (!direct) return new DirectFile(fd, undefined);
    const again = flags & ~(constants.O_CREAT | constants.O_EXCL | constants.O_TRUNC);
    try {
      return new DirectFile(fd, await openFile(`/proc/self/fd/${fd}`, again | constants.O_DIRECT));
    } catch {
      return new DirectFile(fd, undefined);
    }
  }

  /** Whether aligned pieces go past the page cache, as far as is known. */
  get direct(): boolean {
    return this.#direct;
  }

  /**
   * Fills `into` from `position` on; resolves with the bytes read, fewer only at the end of the file. Calls may
   * overlap. `into` belongs to the call until the promise settles.
   */
  async read(into: Uint8Array, position: number): Promise<number> {
    return await this.use(async () => {
      let done = 0;
      while (done < into.length) {
        const transferred = await this.#piece(into.subarray(done), position + done, readOnce);
        if (transferred === 0) break;
        done += transferred;
      }
      return done;
    });
  }

  /** Whether `readCached` can ever say yes: not every file system tells what its page cache holds. */
  tellsCached(): boolean {
    using _held = this.hold();
    return preadCached(this.fd, new Uint8Array(1), 0) !== undefined;
  }

  /**
   * Fills `into` from `position` on, at once, if the page cache holds all of it. Else false, and rubbish in `into`. It is
   * asked first where it can be: a read that finds too little has the kernel read ahead, into a cache that nobody wants.
   */
  readCached(into: Uint8Array, position: number): boolean {
    using _held = this.hold();
    const cached = cachedBytes(this.fd, { offset: position, lengthBytes: into.length });
    if (cached !== undefined && cached < into.length) return false;
    return preadCached(this.fd, into, position) === into.length;
  }

  /** Writes all of `bytes` at `position`. Calls on disjoint ranges may overlap. `bytes` belongs to the call until then. */
  async write(bytes: Uint8Array, position: number): Promise<void> {
    await this.use(async () => {
      let done = 0;
      while (done < bytes.length) done += await this.#piece(bytes.subarray(done), position + done, writeOnce);
    });
  }

  /**
   * Resolves when everything written before through any descriptor of this file is on stable storage. Syncing is by
   * file, so the buffered descriptor speaks for both: direct writes have reported their errors when they were made.
   */
  async flush(): Promise<void> {
    await this.use(() => promisify(fdatasync)(this.fd));
  }

  /** As `flush`, with the times and permissions of the file. */
  async sync(): Promise<void> {
    await this.use(() => promisify(fsync)(this.fd));
  }

  async stat(): Promise<BigIntStats> {
    return await this.use(
      () =>
        new Promise((resolve, reject) => {
          fstat(this.fd, { bigint: true }, (error, stats) => (error === null ? resolve(stats) : reject(error)));
        }),
    );
  }

  async truncate(sizeBytes: number): Promise<void> {
    await this.use(() => promisify(ftruncate)(this.fd, sizeBytes));
  }

  /** Keeps the descriptors open while `work` runs. */
  async use<T>(work: () => Promise<T>): Promise<T> {
    using _held = this.hold();
    return await work();
  }

  /**
   * Keeps the descriptors open until the result is disposed of: a number closed too early may by then name another
   * file. Throws EBADF when the file is closed already.
   */
  hold(): Disposable {
    if (this.#closed) throw Object.assign(new Error('the file is closed'), { code: 'EBADF' });
    this.#inUse += 1;
    return {
      [Symbol.dispose]: () => {
        this.#inUse -= 1;
        if (this.#inUse === 0) this.#idle?.();
      },
    };
  }

  /** Waits for what is under way, then closes; a second call does nothing. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#inUse > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
    if (this.#directFd !== undefined) await closeFile(this.#directFd);
    await closeFile(this.fd);
  }

  /**
   * One system call: the aligned beginning of `bytes` directly where possible, else buffered; of memory that is as far
   * from a block's beginning as the position is, what comes before the next block, so that the rest can go directly.
   */
  async #piece(bytes: Uint8Array, position: number, transfer: Transfer): Promise<number> {
    const before = (directAlignmentBytes - (position % directAlignmentBytes)) % directAlignmentBytes;
    if (this.#direct && before > 0 && before < bytes.length && isDirectAligned(bytes.subarray(before))) {
      return await transfer(this.fd, bytes.subarray(0, before), position);
    }
    const aligned = bytes.length - (bytes.length % directAlignmentBytes);
    const direct = this.#direct && aligned > 0 && position % directAlignmentBytes === 0 && isDirectAligned(bytes);
    if (!direct || this.#directFd === undefined) return await transfer(this.fd, bytes, position);
    try {
      const transferred = await transfer(this.#directFd, bytes.subarray(0, aligned), position);
      // A direct read that ends off a block has met the end of the file; the buffered one confirms it.
      if (transferred > 0) return transferred;
    } catch (error) {
      if (!isErrno(error, 'EINVAL')) throw error;
      this.#direct = false;
    }
    return await transfer(this.fd, bytes, position);
  }
}

type Transfer = (fd: number, bytes: Uint8Array, position: number) => Promise<number>;

function readOnce(fd: number, into: Uint8Array, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, into, 0, into.length, position, (error, count) => (error === null ? resolve(count) : reject(error)));
  });
}

function writeOnce(fd: number, bytes: Uint8Array, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, bytes, 0, bytes.length, position, (error, count) => (error === null ? resolve(count) : reject(error)));
  });
}
