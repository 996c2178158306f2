/**
 * Files, links and folders made by one name in an open folder. Nothing that is there already is ever opened for writing
 * in place unless it is the only name of a regular file that an earlier run made: what is to be replaced is written
 * beside it under a name of ours and renamed over it, so that links, symbolic or hard, that somebody put there lead
 * nowhere.
 */
import { chmodSync, fstatSync, lstatSync, readdirSync, writeSync, type BigIntStats } from 'node:fs';
import {
  closeDescriptor,
  createAt,
  findFolderAt,
  makeFolderAt,
  makeLinkAt,
  openAt,
  openFolderAt,
  removeAt,
  renameAt,
} from '../kernel/folder-calls.ts';
import { KernelError } from '../kernel/sys.ts';
import { applyAttributes, applyLinkAttributes, type FileAttributes } from './file-attributes.ts';

/** Where one file or link belongs. */
export interface Place {
  /** A descriptor of its folder. */
  readonly folder: number;
  /** One that `entryNameFault` finds nothing wrong with. */
  readonly name: string;
}

/**
 * Makes a file, empty and of mode 0600; where the name is taken, under the name `instead`, to be renamed by `finishFile`.
 * @throws {KernelError} EEXIST when the name is taken, without `instead`
 */
export function createFile({ folder, name }: Place, instead: string | undefined): OpenedFile {
  try {
    return { fd: createAt(folder, name), name };
  } catch (error) {
    if (instead === undefined || !isTaken(error)) throw error;
    return { fd: createAt(folder, instead), name: instead };
  }
}

export interface OpenedFile {
  readonly fd: number;
  /** The name it has now, if not the one it is to have. */
  readonly name: string;
}

/** Gives a file that is whole its attributes and, if it has another, its name; closes it in any case. */
export function finishFile({ folder, name }: Place, file: OpenedFile, attributes: FileAttributes): void {
  try {
    applyAttributes(file.fd, attributes);
    if (file.name !== name) renameOrRemove(folder, file.name, name);
  } finally {
    closeDescriptor(file.fd);
  }
}

/** Closes a file that will not be whole, and removes it. */
export function dropFile({ folder }: Pick<Place, 'folder'>, file: OpenedFile): void {
  closeDescriptor(file.fd);
  removeAt(folder, file.name);
}

/** As `createFile` and `finishFile`. */
export function createLink(
  { folder, name }: Place,
  target: Uint8Array,
  attributes: FileAttributes,
  instead: string | undefined,
): void {
  try {
    makeLinkAt(target, folder, name);
    applyLinkAttributes(folder, name, attributes);
  } catch (error) {
    if (instead === undefined || !isTaken(error)) throw error;
    makeLinkAt(target, folder, instead);
    applyLinkAttributes(folder, instead, attributes);
    renameOrRemove(folder, instead, name);
  }
}

/** What cannot replace the other, such as a file a folder, does not stay beside it. */
function renameOrRemove(folder: number, name: string, newName: string): void {
  try {
    renameAt(folder, name, newName);
  } catch (error) {
    removeAt(folder, name);
    throw error;
  }
}

/** All of `bytes` at `offset`. @throws {NodeJS.ErrnoException} */
export function writeAll(fd: number, bytes: Uint8Array, offset: number): void {
  for (let done = 0; done < bytes.length;) {
    done += writeSync(fd, bytes, done, bytes.length - done, offset + done);
  }
}

/** What has this name, itself and not what it links to; undefined when nothing has. */
export function lookAt({ folder, name }: Place): BigIntStats | undefined {
  return lstatSync(`/proc/self/fd/${folder}/${name}`, { bigint: true, throwIfNoEntry: false });
}

/**
 * Opens a regular file that has no other name, or undefined when this is none. With `write`, whoever has another name
 * for it would see it change.
 */
export function openOnly({ folder, name }: Place, options: { readonly write: boolean }): OpenedRegular | undefined {
  let fd: number;
  try {
    fd = openAt(folder, name, options);
  } catch (error) {
    if (error instanceof KernelError) return undefined;
    throw error;
  }
  const stats = fstatSync(fd, { bigint: true });
  if (stats.isFile() && stats.nlink === 1n) return { fd, stats };
  closeDescriptor(fd);
  return undefined;
}

export interface OpenedRegular {
  readonly fd: number;
  readonly stats: BigIntStats;
}

/** Makes a folder, mode 0700. @returns its descriptor @throws {KernelError} EEXIST */
export function createFolder(folder: number, name: string): number {
  makeFolderAt(folder, name);
  return openFolderAt(folder, name);
}

/** A folder that may be there. What has its name and is none is replaced. */
export function enterFolder(folder: number, name: string): { readonly fd: number; readonly created: boolean } {
  try {
    return { fd: createFolder(folder, name), created: true };
  } catch (error) {
    if (!isTaken(error)) throw error;
  }
  try {
    return { fd: openFolderAt(folder, name), created: false };
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    if (error.errno === 'EACCES') return { fd: openShut(folder, name), created: false };
    if (error.errno !== 'ENOTDIR' && error.errno !== 'ELOOP') throw error;
    removeAt(folder, name);
    return { fd: createFolder(folder, name), created: true };
  }
}

/** Opens a folder of ours that has no permissions for us any more. */
function openShut(folder: number, name: string): number {
  const found = findFolderAt(folder, name);
  try {
    // fchmod(2) refuses such a descriptor; by way of it, the path cannot lead to another folder.
    chmodSync(`/proc/self/fd/${found}`, 0o700);
    return openFolderAt(found, '.');
  } finally {
    closeDescriptor(found);
  }
}

/** Removes files and links whose names begin so: what an earlier run did not finish. */
export function removeBeginningWith(
  folder: number,
  prefix: string,
  { except }: { readonly except: ReadonlySet<string> },
): void {
  for (const name of readdirSync(`/proc/self/fd/${folder}`)) {
    if (name.startsWith(prefix) && !except.has(name)) removeAt(folder, name);
  }
}

function isTaken(error: unknown): boolean {
  return error instanceof KernelError && error.errno === 'EEXIST';
}
