import { mkdtemp, rm, statfs } from 'node:fs/promises';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';

export interface TemporaryFolder extends AsyncDisposable {
  readonly path: string;
}

/** A new folder, removed with all that is in it. */
export async function temporaryFolder(name: string): Promise<TemporaryFolder> {
  return await folderIn(tmpdir(), name);
}

/**
 * The same for tests of what is written, and not of how it comes to a disk: in memory, where nobody waits for a flush, and
 * without reflinks and extent maps. A machine with little memory has it where the others are.
 * @param options.roomBytes the most that it will hold
 */
export async function memoryFolder(
  name: string,
  { roomBytes = 2 ** 30 }: { readonly roomBytes?: number } = {},
): Promise<TemporaryFolder> {
  return await folderIn((await freeBytes(memory)) >= 2 * roomBytes ? memory : tmpdir(), name);
}

const memory = '/dev/shm';

/** What a file system in memory may still take; 0 where there is none. */
async function freeBytes(path: string): Promise<number> {
  return await statfs(path).then(
    ({ bavail, bsize }) => Math.min(bavail * bsize, freemem()),
    () => 0,
  );
}

async function folderIn(parent: string, name: string): Promise<TemporaryFolder> {
  const path = await mkdtemp(join(parent, `dray-${name}-`));
  return { path, [Symbol.asyncDispose]: async () => await rm(path, { recursive: true, force: true }) };
}
