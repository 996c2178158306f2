/**
 * Drops what has been marked as deleted for so long that nobody can need it any more (Kopia `drop_deleted_contents.go`):
 * puts a watermark, up to which deleted entries count as not existing. It never goes back. The entries stay where they
 * are, so a crash changes nothing.
 */
import { blobId } from '../blobs/blob-store.ts';
import { formatGoTime, nanosecondsPerSecond, type Nanoseconds } from '../std/go-time.ts';
import { jsonObject } from '../std/lossless-json.ts';
import { Sum, type TaskContext, type TaskOutcome } from './task.ts';

const kind = 'compactIndexesStats';

/** @param upTo what `safeDropTime` has found */
export async function dropDeleted(context: TaskContext, upTo: Nanoseconds): Promise<TaskOutcome> {
  const { repository, dryRun, signal } = context;
  const { index, store } = repository;
  await index.refresh({ signal });
  const known = index.deletionWatermarkSeconds;
  if (known !== undefined && upTo < BigInt(known) * nanosecondsPerSecond) {
    return { extra: { kind, data: null }, summary: 'more than that has been dropped already' };
  }
  const seconds = wholeSeconds(upTo);
  const dropped = new Sum();
  for (const { deleted, timestampSeconds, packedLength } of index.entries()) {
    if (deleted && timestampSeconds <= seconds) dropped.add(packedLength);
  }
  if (!dryRun) {
    await store.put(blobId(`xw${seconds}`), Buffer.from('deletion-watermark'), { signal });
    await index.refresh({ signal });
  }
  const time = formatGoTime(upTo);
  const data = jsonObject({ droppedContentsDeletedBefore: time });
  return {
    extra: { kind, data },
    summary: `${dropped.count} contents (${dropped.bytes} bytes) marked as deleted before ${time}`,
  };
}

/** Rounded down, as Go's Unix(): a moment earlier never drops more. */
export function wholeSeconds(time: Nanoseconds): number {
  return Number(time / nanosecondsPerSecond);
}
