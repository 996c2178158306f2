/**
 * New pools. That the file system can share blocks is proved by doing it before anything is made; a folder that holds
 * something else is left alone. The record is written last: a folder without one is no pool, and making it again goes on.
 */
import { mkdir, open, readdir, rm, statfs } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { forbidCompression } from '../kernel/file-flags.ts';
import { cloneFile } from '../kernel/reflink.ts';
import { KernelError } from '../kernel/sys.ts';
import { atomicWrite, isTemporaryOf, makeDirectories, syncDirectory } from '../std/atomic-write.ts';
import { hasCode } from '../std/dray-error.ts';
import { randomHex } from '../std/rng.ts';
import { closedText, PoolError, withPoolErrors } from './pool-error.ts';
import { imageMarkName, PoolLayout, poolRecordName } from './pool-layout.ts';
import { encodeRecord, type PoolRecord } from './pool-records.ts';
import { Pool, type PoolParts } from './pool.ts';
import { btrfsMagic } from './sync-moved.ts';

const proofName = 'reflink-proof';
/** What an interrupted making, or `mkfs`, may have left. */
const harmless = new Set([proofName, 'lock', 'volumes', 'staging', 'lost+found']);

/**
 * @throws {PoolError} `pool-exists`, `pool-foreign`, `pool-reflink` where the file system cannot share blocks (ext4, NFS, XFS
 *   without reflink=1), `pool-no-space`, `pool-io`
 */
export async function createPool(
  path: string,
  parts: PoolParts,
  { signal }: { readonly signal: AbortSignal },
): Promise<Pool> {
  const layout = new PoolLayout(resolve(path));
  return await withPoolErrors(`make a pool in ${layout.root}`, async () => {
    await makeDirectories(layout.root, { mode: 0o700 });
    await refuseOthers(layout);
    await proveReflink(layout);
    await makeDirectories(layout.volumes, { mode: 0o700 });
    await makeDirectories(layout.staging, { mode: 0o700 });
    await forbidCompressionOn(layout.root);
    await forbidCompressionOn(layout.volumes);
    await forbidCompressionOn(layout.staging);
    const created = new Date(parts.clock.nowMs()).toISOString();
    const record: PoolRecord = { format: 'dray-pool', version: 1, id: randomHex(parts.rng, 16), created };
    await atomicWrite(layout.record, encodeRecord(record), { rng: parts.rng, signal });
    await syncDirectory(layout.root);
    return Pool.open(path, parts);
  });
}

async function refuseOthers({ root }: PoolLayout): Promise<void> {
  const names = await readdir(root);
  if (names.includes(poolRecordName)) throw new PoolError('pool-exists', `there is a pool in ${root} already`);
  if (names.includes(imageMarkName)) throw new PoolError('pool-exists', closedText(root));
  const other = names.find((name) => !harmless.has(name) && !isTemporaryOf(name, poolRecordName));
  if (other !== undefined) throw new PoolError('pool-foreign', `${root} holds something else: ${other}`);
}

/** Clones a block, there and then. */
async function proveReflink({ root }: PoolLayout): Promise<void> {
  const folder = join(root, proofName);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { mode: 0o700 });
  try {
    await using files = new AsyncDisposableStack();
    const from = await open(join(folder, 'from'), 'wx+');
    files.defer(async () => await from.close());
    const to = await open(join(folder, 'to'), 'wx');
    files.defer(async () => await to.close());
    await from.write(Buffer.alloc(65536, 0xd7));
    await cloneFile(from.fd, to.fd);
  } catch (error) {
    if (!hasCode(error, 'kernel-unsupported') && !(error instanceof KernelError && error.errno === 'EXDEV'))
      throw error;
    throw new PoolError('pool-reflink', `the file system of ${root} cannot share blocks between files`, {
      cause: error,
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Of compressed extents nobody can tell what changed; new files inherit this. btrfs only. */
async function forbidCompressionOn(folder: string): Promise<void> {
  if ((await statfs(folder)).type !== btrfsMagic) return;
  const directory = await open(folder, 'r');
  try {
    forbidCompression(directory.fd);
  } catch (error) {
    // A mount that compresses by force is found when changes are looked for, and told there.
    if (!(error instanceof KernelError)) throw error;
  } finally {
    await directory.close();
  }
}
