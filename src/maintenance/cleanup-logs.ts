/** Removes the oldest of the logs that kopia writes into the repository (Kopia `cleanup_logs.go`). */
import type { BlobMetadata } from '../blobs/blob-store.ts';
import type { LogRetention } from '../repository/manifest/maintenance-params.ts';
import { jsonObject } from '../std/lossless-json.ts';
import { removeBlobs } from './remove-blobs.ts';
import { Sum, type TaskContext, type TaskOutcome } from './task.ts';

const logPrefix = '_';

export async function cleanupLogs(context: TaskContext, retention: LogRetention): Promise<TaskOutcome> {
  const { repository, clock, dryRun, signal } = context;
  const logs = await Array.fromAsync(repository.store.list(logPrefix, { signal }));
  const { keep, remove } = expiredLogs(logs, retention, { nowMs: clock.nowMs() });
  const { removed, refused } = await removeBlobs(repository.store, remove, { dryRun, signal });
  const [kept, gone] = [new Sum(), new Sum()];
  for (const { lengthBytes } of keep) kept.add(lengthBytes);
  for (const { lengthBytes } of remove) gone.add(lengthBytes);
  const deleted = dryRun ? new Sum() : removed;
  const data = jsonObject({
    toDeleteBlobCount: gone.count,
    toDeleteBlobSize: gone.bytes,
    deletedBlobCount: deleted.count,
    deletedBlobSize: deleted.bytes,
    retainedBlobCount: kept.count,
    retainedBlobSize: kept.bytes,
  });
  return {
    extra: { kind: 'cleanupLogsStats', data },
    summary: `${gone.count} old logs, ${kept.count} stay`,
    removed,
    refused,
  };
}

/** The newest are kept until one of the limits is passed; from there on all go. A limit of 0 is none. */
export function expiredLogs(
  logs: readonly BlobMetadata[],
  { sizeBytesMax, countMax, ageMsMax }: LogRetention,
  { nowMs }: { readonly nowMs: number },
): { readonly keep: readonly BlobMetadata[]; readonly remove: readonly BlobMetadata[] } {
  const newestFirst = logs.toSorted((a, b) => b.timestampMs - a.timestampMs);
  let keptBytes = 0;
  let kept = 0;
  for (const { lengthBytes, timestampMs } of newestFirst) {
    if (sizeBytesMax > 0 && keptBytes + lengthBytes > sizeBytesMax) break;
    if (countMax > 0 && kept >= countMax) break;
    if (ageMsMax !== 0 && nowMs - timestampMs > ageMsMax) break;
    keptBytes += lengthBytes;
    kept++;
  }
  return { keep: newestFirst.slice(0, kept), remove: newestFirst.slice(kept) };
}
