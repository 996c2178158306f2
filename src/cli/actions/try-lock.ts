import { BlobError } from '../../blobs/blob-store.ts';
import { describeLocation, type BlobStoreLocation } from '../../blobs/location.ts';
import type { LockTrial } from '../../blobs/s3/try-lock.ts';
import type { CliContext } from '../shell/cli-context.ts';
import { randomHex } from '../../std/rng.ts';

/** Whether what is stored there can be locked, tried out in a place of its own; folders cannot. */
export async function tryLock(location: BlobStoreLocation, context: CliContext): Promise<LockTrial> {
  const { clock, rng, log, signal } = context;
  if (location.kind !== 's3') return { works: false, reason: `${describeLocation(location)} is a folder` };
  const { S3Store } = await import('../../blobs/s3/s3-store.ts');
  const name = `dray-check-${randomHex(rng, 8)}-lock`;
  const place = { ...location, prefix: `${location.prefix}${name}/` };
  await using store = await S3Store.open(place, { clock, signal });
  const trial = await store.tryLock({ signal });
  if (trial.left !== undefined) {
    log.warn(`${trial.left} could not be removed again: it is locked for 15 minutes more, and hidden meanwhile`);
  }
  return trial;
}

/** @throws {BlobError} `blob-no-lock` */
export async function requireLock(location: BlobStoreLocation, context: CliContext): Promise<void> {
  const { works, reason = '' } = await tryLock(location, context);
  if (works) return;
  throw new BlobError('blob-no-lock', `${describeLocation(location)} cannot lock what is stored: ${reason}`);
}
