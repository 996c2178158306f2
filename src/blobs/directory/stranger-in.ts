import { readdir } from 'node:fs/promises';
import { blobSuffix } from './shards.ts';

/**
 * The name of what lies in a folder that is to become a store, and belongs to somebody else. There is none beside blobs, which tell
 * by themselves whose they are; what is hidden, and a disk's own `lost+found`, are nobody's, and uploads that were cut off are ours.
 */
export async function strangerIn(path: string): Promise<string | undefined> {
  const names = await readdir(path).catch(() => []);
  if (names.some((name) => name.endsWith(blobSuffix))) return undefined;
  return names.find((name) => name !== 'lost+found' && !name.startsWith('.') && !name.includes(`${blobSuffix}.tmp.`));
}
