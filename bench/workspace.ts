/** Where it is all measured: a folder on one disk, emptied at the end, and the state of the page cache before each run. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, open, readdir, rm, stat, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Workspace extends AsyncDisposable {
  readonly folder: string;
  /** A path in the folder. */
  path(name: string): string;
  /** Removes a file or folder of the workspace now. */
  remove(name: string): Promise<void>;
}

const tmpfsMagic = 0x01021994;

/** A new folder in `parent`, which must not lie in memory. */
export async function openWorkspace(
  parent: string | undefined,
  { needsBytes }: { readonly needsBytes: number },
): Promise<Workspace> {
  const base = parent ?? ((await statfs(tmpdir())).type === tmpfsMagic ? '/var/tmp' : tmpdir());
  const { bavail, bsize } = await statfs(base);
  if (bavail * bsize < needsBytes) {
    const sizes = `${(bavail * bsize) / 1e9} GB are free and ${needsBytes / 1e9} GB needed`;
    throw new Error(`${base}: ${sizes}; name another folder with --folder`);
  }
  const folder = await mkdtemp(join(base, 'dray-bench-'));
  return {
    folder,
    path: (name) => join(folder, name),
    remove: async (name) => await rm(join(folder, name), { recursive: true, force: true }),
    [Symbol.asyncDispose]: async () => await rm(folder, { recursive: true, force: true }),
  };
}

/** Everything written so far is on disk, so that no run pays for what came before it. */
export function settle(): void {
  spawnSync('sync');
}

/** Reads files, or all files below a folder, so that the page cache holds them. */
export async function warm(path: string): Promise<void> {
  const buffer = Buffer.alloc(4 * 1024 * 1024);
  for (const file of await filesOf(path)) {
    await using handle = await open(file, 'r');
    while ((await handle.read(buffer, 0, buffer.length)).bytesRead > 0);
  }
}

/** The lengths of all files below a folder, added up. */
export async function bytesIn(folder: string): Promise<number> {
  let bytes = 0;
  for (const file of await filesOf(folder)) bytes += (await stat(file)).size;
  return bytes;
}

async function filesOf(path: string): Promise<string[]> {
  if (!(await stat(path)).isDirectory()) return [path];
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
}
