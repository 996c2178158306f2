/**
 * The calls of the C library that name a file by an open folder and one name in it, which Node has not. Whoever goes down
 * a tree with them, one name at a time and following no link, stays below where he began, whatever others rename or link
 * meanwhile. They block, for microseconds; `syncFileSystem` blocks for long and runs on a thread of its own. Loaded on
 * the first call. Names hold no NUL and no `/`: that is for the caller to see to (`volume/entry-name.ts`).
 */
import { createRequire } from 'node:module';
import { constants } from 'node:fs';
import type koffi from 'koffi';
import { errnoName } from '../std/errno.ts';
import { KernelError } from './sys.ts';

type Call = (...args: (number | string | Uint8Array)[]) => number;
type AsyncCall = Call & {
  async: (fd: number, done: (error: Error | null, result: number) => void) => void;
};

interface Library {
  readonly errno: () => number;
  readonly openat: Call;
  readonly mkdirat: Call;
  readonly unlinkat: Call;
  readonly symlinkat: Call;
  readonly renameat: Call;
  readonly fchmod: Call;
  readonly fchown: Call;
  readonly fchownat: Call;
  readonly utimensat: Call;
  readonly futimens: Call;
  readonly close: Call;
  readonly syncfs: AsyncCall;
}

let loaded: Library | undefined;

function library(): Library {
  if (loaded !== undefined) return loaded;
  const ffi = createRequire(import.meta.url)('koffi') as typeof koffi;
  const libc = ffi.load(null);
  loaded = {
    errno: () => ffi.errno(),
    openat: libc.func('int openat(int folder, str name, int flags, unsigned int mode)') as Call,
    mkdirat: libc.func('int mkdirat(int folder, str name, unsigned int mode)') as Call,
    unlinkat: libc.func('int unlinkat(int folder, str name, int flags)') as Call,
    symlinkat: libc.func('int symlinkat(void* target, int folder, str name)') as Call,
    renameat: libc.func('int renameat(int folder, str name, int newFolder, str newName)') as Call,
    fchmod: libc.func('int fchmod(int fd, unsigned int mode)') as Call,
    fchown: libc.func('int fchown(int fd, unsigned int uid, unsigned int gid)') as Call,
    fchownat: libc.func('int fchownat(int folder, str name, unsigned int uid, unsigned int gid, int flags)') as Call,
    utimensat: libc.func('int utimensat(int folder, str name, void* times, int flags)') as Call,
    futimens: libc.func('int futimens(int fd, void* times)') as Call,
    close: libc.func('int close(int fd)') as Call,
    syncfs: libc.func('int syncfs(int fd)') as AsyncCall,
  };
  return loaded;
}

function checked(call: string, result: number): number {
  if (result < 0) throw new KernelError(call, errnoName(library().errno()));
  return result;
}

/** The same on x64 and arm64; the others come from Node, because they differ. */
const closeOnExec = 0o2000000;
const pathOnly = 0o10000000;
const noFollowAt = 0x100;

/** A moment, as the kernel takes it: `nanoseconds` from 0 to 999,999,999, `seconds` before 1970 negative. */
export interface FileTime {
  readonly seconds: number;
  readonly nanoseconds: number;
}

/** Makes a file that was not there, to be written and read, mode 0600. @throws {KernelError} EEXIST */
export function createAt(folder: number, name: string): number {
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | closeOnExec;
  return checked(`create ${name}`, library().openat(folder, name, flags, 0o600));
}

/** Opens what is there, but no link; a pipe does not block. @throws {KernelError} ELOOP, ENOENT */
export function openAt(folder: number, name: string, { write }: { readonly write: boolean }): number {
  const { O_RDWR, O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const flags = (write ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_NONBLOCK | closeOnExec;
  return checked(`open ${name}`, library().openat(folder, name, flags, 0));
}

/** Opens a folder, but no link to one. @throws {KernelError} ENOTDIR, ELOOP, ENOENT, EACCES */
export function openFolderAt(folder: number, name: string): number {
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;
  return checked(
    `open folder ${name}`,
    library().openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | closeOnExec, 0),
  );
}

/** A descriptor of a folder that says which it is and no more: for that, no permission on the folder is needed. */
export function findFolderAt(folder: number, name: string): number {
  const { O_DIRECTORY, O_NOFOLLOW } = constants;
  return checked(
    `find folder ${name}`,
    library().openat(folder, name, pathOnly | O_DIRECTORY | O_NOFOLLOW | closeOnExec, 0),
  );
}

/** Mode 0700. @throws {KernelError} EEXIST */
export function makeFolderAt(folder: number, name: string): void {
  checked(`make folder ${name}`, library().mkdirat(folder, name, 0o700));
}

/** Removes a name that is no folder's. @throws {KernelError} EISDIR, ENOENT */
export function removeAt(folder: number, name: string): void {
  checked(`remove ${name}`, library().unlinkat(folder, name, 0));
}

/** `target` is any text of bytes without NUL, byte for byte. @throws {KernelError} EEXIST */
export function makeLinkAt(target: Uint8Array, folder: number, name: string): void {
  const text = new Uint8Array(target.length + 1);
  text.set(target);
  checked(`make link ${name}`, library().symlinkat(text, folder, name));
}

/** Within one folder; replaces what has the new name, in one step. @throws {KernelError} EISDIR */
export function renameAt(folder: number, name: string, newName: string): void {
  checked(`rename ${name}`, library().renameat(folder, name, folder, newName));
}

export function setMode(fd: number, mode: number): void {
  checked('set mode', library().fchmod(fd, mode));
}

export function setOwner(fd: number, uid: number, gid: number): void {
  checked('set owner', library().fchown(fd, uid, gid));
}

/** Of the name itself, also where it is a link. */
export function setOwnerAt(folder: number, name: string, uid: number, gid: number): void {
  checked(`set owner of ${name}`, library().fchownat(folder, name, uid, gid, noFollowAt));
}

/** Both times, of reading and of writing. */
export function setTimes(fd: number, time: FileTime): void {
  checked('set times', library().futimens(fd, timespecs(time)));
}

/** Of the name itself, also where it is a link. */
export function setTimesAt(folder: number, name: string, time: FileTime): void {
  checked(`set times of ${name}`, library().utimensat(folder, name, timespecs(time), noFollowAt));
}

/** Closes what was opened here: Node's own call keeps a list for each thread, and warns of what is not on it. */
export function closeDescriptor(fd: number): void {
  checked('close', library().close(fd));
}

/** Resolves when everything that was written to the file system of this descriptor is on stable storage. */
export function syncFileSystem(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    library().syncfs.async(fd, (error, result) => {
      // errno of the thread that called is there only until anything else runs.
      if (error !== null) reject(error);
      else if (result < 0) reject(new KernelError('syncfs', errnoName(library().errno())));
      else resolve();
    });
  });
}

/** Two `struct timespec`, 64 bits each member. */
function timespecs({ seconds, nanoseconds }: FileTime): Uint8Array {
  const times = Buffer.allocUnsafe(32);
  for (const start of [0, 16]) {
    times.writeBigInt64LE(BigInt(seconds), start);
    times.writeBigInt64LE(BigInt(nanoseconds), start + 8);
  }
  return times;
}
