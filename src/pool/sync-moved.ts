/**
 * Folders that were moved become durable at their new place. An fsync of the parent is enough but on btrfs: what its log of
 * single fsyncs holds of a folder that has changed its parent can be the folder under both names, and such a log cannot be
 * replayed: after a loss of power the file system does not mount ("invalid nlink: has 2 expect no more than 1 for dir",
 * seen with Linux 6.18, reported upstream for 7.0). There all of the file system is committed instead, which ends the
 * log. It takes longer: what others have written to it and not synced is written out as well.
 */
import { open, statfs } from 'node:fs/promises';
import { syncFileSystem } from '../kernel/folder-calls.ts';
import { syncDirectory } from '../std/atomic-write.ts';

export const btrfsMagic = 0x9123683e;

/** `parents`: of the place where it was, and of that where it is. Throws the system's error. */
export async function syncMoved(...parents: readonly [string, ...string[]]): Promise<void> {
  const [first] = parents;
  if ((await statfs(first)).type !== btrfsMagic) {
    for (const parent of parents) await syncDirectory(parent);
    return;
  }
  await syncFileSystemOf(first);
}

/** All that was written to the file system that a folder lies on is on disk when this resolves. Throws the system's error. */
export async function syncFileSystemOf(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await syncFileSystem(folder.fd);
  } finally {
    await folder.close();
  }
}
