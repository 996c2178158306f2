/**
 * The C library; more of it stands in `folder-calls.ts`. With `zstd.ts`, `aead.ts` and `mac.ts`, which call what Node's own binary exports,
 * all that is foreign. It is loaded on the first call, so that commands that need none of it do not pay (8 ms). Calls that may block for long run on libuv's threads (`…Async`), never
 * on the main one. `ioctl` and `syscall` are declared with fixed arguments: the same registers as the variadic ones on
 * the Linux calling conventions of x64 and arm64.
 */
import { createRequire } from 'node:module';
import type koffi from 'koffi';
import { DrayError } from '../std/dray-error.ts';
import { errnoName } from '../std/errno.ts';

/**
 * - `kernel-unsupported`: the kernel, the file system or the device does not offer it.
 * - `kernel-denied`, `kernel-busy`, `kernel-no-space`, and `kernel-failed` for all else.
 */
export class KernelError extends DrayError<
  'kernel-unsupported' | 'kernel-denied' | 'kernel-busy' | 'kernel-no-space' | 'kernel-failed'
> {
  /** The system's name, such as `EBUSY`. */
  readonly errno: string;

  constructor(call: string, errno: string) {
    super(kernelCode(errno), `${call}: ${errno}`);
    this.errno = errno;
  }
}

function kernelCode(errno: string): KernelError['code'] {
  if (['ENOTTY', 'EINVAL', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS'].includes(errno)) return 'kernel-unsupported';
  if (['EACCES', 'EPERM'].includes(errno)) return 'kernel-denied';
  if (['EBUSY', 'ETXTBSY'].includes(errno)) return 'kernel-busy';
  if (['ENOSPC', 'EDQUOT'].includes(errno)) return 'kernel-no-space';
  return 'kernel-failed';
}

type Call = ((...args: (number | Uint8Array | null)[]) => number) & {
  async: (...args: (number | Uint8Array | null | ((error: Error | null, result: number) => void))[]) => void;
};

type Preadv2 = (fd: number, pieces: object, count: number, offset: number, flags: number) => number;

interface Library {
  readonly koffi: typeof koffi;
  readonly ioctl: Call;
  readonly lseek: Call;
  readonly fallocate: Call;
  readonly posixFadvise: Call;
  readonly syscall: Call;
  readonly flock: Call;
  readonly getpagesize: Call;
  readonly preadv2: Preadv2;
  readonly renameat2: Call;
}

let loaded: Library | undefined;

function library(): Library {
  if (loaded !== undefined) return loaded;
  const ffi = createRequire(import.meta.url)('koffi') as typeof koffi;
  const libc = ffi.load(null);
  ffi.struct('iovec', { iov_base: 'void *', iov_len: 'size_t' });
  loaded = {
    koffi: ffi,
    ioctl: libc.func('int ioctl(int fd, unsigned long request, void* argument)') as Call,
    lseek: libc.func('int64_t lseek(int fd, int64_t offset, int whence)') as Call,
    fallocate: libc.func('int fallocate(int fd, int mode, int64_t offset, int64_t length)') as Call,
    posixFadvise: libc.func('int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)') as Call,
    syscall: libc.func('long syscall(long number, long fd, void* range, void* answer, long flags)') as Call,
    flock: libc.func('int flock(int fd, int operation)') as Call,
    getpagesize: libc.func('int getpagesize()') as Call,
    preadv2: libc.func('int64_t preadv2(int fd, iovec *pieces, int count, int64_t offset, int flags)') as Preadv2,
    renameat2: libc.func('int renameat2(int from, void* name, int to, void* newName, unsigned int flags)') as Call,
  };
  return loaded;
}

function checked(call: string, result: number): number {
  if (result < 0) throw new KernelError(call, errnoName(library().koffi.errno()));
  return result;
}

function checkedAsync(name: string, call: Call, args: (number | Uint8Array | null)[]): Promise<number> {
  return new Promise((resolve, reject) => {
    call.async(...args, (error: Error | null, result: number) => {
      // koffi carries errno from its thread into this callback; it must be read before anything else runs.
      if (error !== null) reject(error);
      else if (result < 0) reject(new KernelError(name, errnoName(library().koffi.errno())));
      else resolve(result);
    });
  });
}

/** `argument` is read or filled by the kernel according to `request`. @throws {KernelError} */
export function ioctl(fd: number, request: number, argument: Uint8Array | null): number {
  return checked(`ioctl 0x${request.toString(16)}`, library().ioctl(fd, request, argument));
}

/** As `ioctl`, off the main thread. `argument` and the open file belong to the call until it settles. */
export function ioctlAsync(fd: number, request: number, argument: Uint8Array | null): Promise<number> {
  return checkedAsync(`ioctl 0x${request.toString(16)}`, library().ioctl, [fd, request, argument]);
}

/** The new position, or undefined for ENXIO: nothing of the kind at or after `offset`. @throws {KernelError} */
export function lseek(fd: number, offset: number, whence: number): number | undefined {
  const position = library().lseek(fd, offset, whence);
  if (position >= 0) return position;
  const errno = errnoName(library().koffi.errno());
  if (errno === 'ENXIO') return undefined;
  throw new KernelError('lseek', errno);
}

/** Off the main thread: punching a fragmented range can take long. @throws {KernelError} */
export async function fallocate(
  fd: number,
  mode: number,
  range: { readonly offset: number; readonly lengthBytes: number },
): Promise<void> {
  await checkedAsync('fallocate', library().fallocate, [fd, mode, range.offset, range.lengthBytes]);
}

/**
 * Claims an open file for its descriptor until that is closed, also by the death of the process.
 * @returns false when another descriptor has claimed it; a file system without locks counts as claimed by us
 */
export function tryLock(fd: number): boolean {
  try {
    return lockNow(fd, 'exclusive');
  } catch (error) {
    if (error instanceof KernelError) return true;
    throw error;
  }
}

/**
 * As `tryLock`, also for a lock that others may share; a second call on the descriptor changes its lock.
 * @throws {KernelError} when the file system has no locks
 */
export function lockNow(fd: number, mode: 'shared' | 'exclusive'): boolean {
  const nonBlocking = 4;
  if (library().flock(fd, (mode === 'shared' ? 1 : 2) | nonBlocking) === 0) return true;
  const errno = errnoName(library().koffi.errno());
  if (errno === 'EAGAIN') return false;
  throw new KernelError('flock', errno);
}

/**
 * Gives a file another name that nothing has, in one step: renameat2(2) with RENAME_NOREPLACE, off the main thread.
 * @throws {KernelError} EEXIST when the name is taken, `kernel-unsupported` when the file system cannot do it
 */
export async function renameNew(from: string, to: string): Promise<void> {
  await rename2(from, to, 1);
}

/**
 * Two files or folders take each other's names, in one step: nobody sees either name without one of them. renameat2(2)
 * with RENAME_EXCHANGE, off the main thread.
 * @throws {KernelError} ENOENT unless both are there, `kernel-unsupported` when the file system cannot do it
 */
export async function renameExchange(one: string, other: string): Promise<void> {
  await rename2(one, other, 2);
}

async function rename2(from: string, to: string, flags: number): Promise<void> {
  const currentDirectory = -100;
  const [name, newName] = [Buffer.from(`${from}\0`), Buffer.from(`${to}\0`)];
  const { renameat2 } = library();
  await checkedAsync(`rename ${from}`, renameat2, [currentDirectory, name, currentDirectory, newName, flags]);
}

/** A hint; @throws {KernelError} when the descriptor cannot take it. */
export function posixFadvise(
  fd: number,
  range: { readonly offset: number; readonly lengthBytes: number },
  advice: number,
): void {
  const errno = library().posixFadvise(fd, range.offset, range.lengthBytes, advice);
  if (errno !== 0) throw new KernelError('posix_fadvise', errnoName(errno));
}

/** cachestat(2), the same number on all architectures, Linux 6.5 and later. @throws {KernelError} */
export function cachestat(fd: number, range: Uint8Array, answer: Uint8Array): void {
  checked('cachestat', library().syscall(451, fd, range, answer, 0));
}

/** Bytes in a page of memory: 4,096 on x64, up to 65,536 on arm64. */
export function pageBytes(): number {
  return library().getpagesize();
}

/** The memory address of the first byte of a buffer. */
export function memoryAddress(bytes: ArrayBufferLike): bigint {
  return library().koffi.address(bytes);
}

/**
 * Reads what takes no waiting, that is, what the page cache holds (preadv2 with RWF_NOWAIT, Linux 4.14).
 * @returns bytes read from `position` on, fewer than asked for where the cache ends, 0 at the end of the file or when
 *   nothing is there without waiting; undefined when the file system cannot tell. Errors of the medium come again from
 *   a read that waits.
 */
export function preadCached(fd: number, into: Uint8Array, position: number): number | undefined {
  const withoutWaiting = 8;
  const count = library().preadv2(fd, { iov_base: into, iov_len: into.length }, 1, position, withoutWaiting);
  if (count >= 0) return count;
  return ['ENOTSUP', 'ENOSYS'].includes(errnoName(library().koffi.errno())) ? undefined : 0;
}
