/** From what a listing says of an entry to what the system takes. */
import type { DirEntry } from '../repository/manifest/dir-entry.ts';
import { fileTime, type FileAttributes } from '../volume/file-attributes.ts';

export function attributesOf(entry: DirEntry, { owners }: { readonly owners: boolean }): FileAttributes {
  const { uid, gid } = entry;
  return {
    // Who may become the owner of a file by running it, was said of its owner and group, and not of whoever restores.
    mode: owners ? posixMode(entry.mode) : posixMode(entry.mode) & ~setIdBits(entry),
    owner: owners ? { uid, gid } : undefined,
    modified: fileTime(timeOf(entry)),
  };
}

/** Of a folder, setgid only names the group of what is made in it. */
function setIdBits({ type }: DirEntry): number {
  return type === 'd' ? 0 : 0o6000;
}

/** Listings that others made up give folders no time, or one before all times; their newest entry has a better one. */
function timeOf({ modified, type, summary }: DirEntry): bigint {
  return type === 'd' && modified === 0n && summary !== undefined ? summary.maxTime : modified;
}

/** Go's FileMode bits as `chmod` has them. */
export function posixMode(mode: number): number {
  const bits = mode & 0o777;
  return (
    bits |
    ((mode & (1 << 23)) === 0 ? 0 : 0o4000) |
    ((mode & (1 << 22)) === 0 ? 0 : 0o2000) |
    ((mode & (1 << 20)) === 0 ? 0 : 0o1000)
  );
}
