/**
 * Whether the image of a snapshot is as the pool has made it. Its mode keeps nobody out who is root; but whoever writes to a file moves
 * its ctime, which no call sets back. What the pool does with snapshots leaves it alone, and so does what moves blocks (the gathering of
 * a volume, `xfs_fsr`, `btrfs filesystem defragment`). Owner, mode, attributes and links of the file move it too, and so does a copy
 * of the pool: then a snapshot counts as changed that is not, which costs a backup that reads everything.
 */
import { statSync } from 'node:fs';
import { formatGoTime } from '../std/go-time.ts';
import { poolError } from './pool-error.ts';

/** When anything of the file was last changed, to the nanosecond. @throws {PoolError} `pool-io` */
export function imageChangeTime(path: string): string {
  try {
    return formatGoTime(statSync(path, { bigint: true }).ctimeNs);
  } catch (error) {
    throw poolError(error, `look at ${path}`);
  }
}
