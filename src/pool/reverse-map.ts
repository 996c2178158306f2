/**
 * A pool on an XFS that keeps a reverse map of its blocks, as newer mkfs.xfs make it: its clones take two to three times as
 * long, and the first write to each block after one twice.
 */
import { open } from 'node:fs/promises';
import { keepsReverseMap } from '../kernel/xfs-geometry.ts';
import { withPoolErrors } from './pool-error.ts';
import type { Pool } from './pool.ts';

/** What mkfs.xfs is told for the image of a pool. */
export const xfsOptions: readonly string[] = ['-m', 'reflink=1,rmapbt=0'];

/** @throws {PoolError} `pool-io` */
export async function isOnReverseMap({ layout: { root } }: Pool): Promise<boolean> {
  return await withPoolErrors(`look at the file system of ${root}`, async () => {
    await using folder = await open(root, 'r');
    return keepsReverseMap(folder.fd);
  });
}
