/**
 * Keeps what is locked locked (Kopia `blob_retain.go`): every blob under the locked prefixes, needed or not, for the whole
 * period from now on. A crash leaves some extended; the next run does the rest. That some cannot be is an error of the run,
 * told when all others are done.
 */
import { BlobError } from '../blobs/blob-store.ts';
import type { BlobRetention } from '../blobs/blob-store.ts';
import { extendRetention } from '../blobs/extend-retention.ts';
import { lockedPrefixes } from '../repository/format/blobcfg.ts';
import { jsonObject } from '../std/lossless-json.ts';
import type { TaskContext, TaskOutcome } from './task.ts';

const kind = 'extendBlobRetentionStats';
const hourMs = 3_600_000;

/** @throws {BlobError} what kept the first of those that failed, or `blob-no-lock` */
export async function extendLocks(context: TaskContext, retention: BlobRetention): Promise<TaskOutcome> {
  const { repository, dryRun, signal } = context;
  const { store } = repository;
  const hours = Math.floor(retention.periodMs / hourMs);
  if (dryRun) {
    let count = 0;
    for (const prefix of lockedPrefixes) for await (const _ of store.list(prefix, { signal })) count += 1;
    return { extra: { kind, data: null }, summary: `${count} blobs, for ${hours} hours from now` };
  }
  const { extended, failed, failures } = await extendRetention(
    store,
    { prefixes: lockedPrefixes, retention },
    { signal },
  );
  const [first] = failures;
  if (first !== undefined) {
    throw new BlobError(first.error.code, `extend the locks of ${failed} blobs, among them ${first.id}`, {
      cause: first.error,
    });
  }
  const data = jsonObject({
    toExtendBlobCount: extended,
    extendedBlobCount: extended,
    // As Go prints a duration.
    retentionPeriod: `${hours}h${Math.floor((retention.periodMs % hourMs) / 60_000)}m0s`,
  });
  return { extra: { kind, data }, summary: `${extended} blobs are locked for ${hours} hours from now` };
}
