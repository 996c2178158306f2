/** What lies in a folder of this system, as `expected.json` of a fixture says it. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

import type { RestoredEntry } from '../fixtures/expected.ts';

/** Everything below, by its path; the folder itself is `.`. Nothing is followed. */
export async function readDisk(root: string): Promise<ReadonlyMap<string, RestoredEntry>> {
  const entries = new Map<string, RestoredEntry>([['.', await entryOf(root, '.')]]);
  await readFolder(root, '', entries);
  return entries;
}

/** Node's own recursive reading follows links. */
async function readFolder(root: string, prefix: string, entries: Map<string, RestoredEntry>): Promise<void> {
  for (const name of await readdir(join(root, prefix))) {
    const path = prefix + name;
    const entry = await entryOf(join(root, path), path);
    entries.set(path, entry);
    if (entry.type === 'd') await readFolder(root, `${path}/`, entries);
  }
}

async function entryOf(file: string, path: string): Promise<RestoredEntry> {
  const stats = await lstat(file, { bigint: true });
  const mtimeNs = String(stats.mtimeNs);
  const owner = { uid: Number(stats.uid), gid: Number(stats.gid) };
  if (stats.isSymbolicLink()) return { path, type: 's', target: await readlink(file), mtimeNs, ...owner };
  const mode = (stats.mode & 0o7777n).toString(8);
  if (stats.isDirectory()) return { path, type: 'd', mode, mtimeNs, ...owner };
  const hash = createHash('sha256');
  await pipeline(createReadStream(file, { highWaterMark: 1024 * 1024 }), hash);
  return { path, type: 'f', size: Number(stats.size), mode, mtimeNs, ...owner, sha256: hash.digest('hex') };
}
