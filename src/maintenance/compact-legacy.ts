/**
 * The index of a repository without epochs: merging its blobs, dropping what was deleted long ago, and removing what was
 * merged hours ago (Kopia `index_blob_manager_v0.go`, `index_compaction.go`, `drop_deleted_contents.go`).
 *
 * Durable in this order: the merged blobs, each of which counts at once and says nothing new; the log, with which those they
 * were made of count no more; and an hour later, when everybody has listed anew, these are removed, then their logs
 * (`legacy-plans.ts`). A crash leaves blobs that say the same twice, or that are removed later.
 *
 * Two who merge at once: a merge writes only what wins in the whole index, never what a blob beside it overrules. Else, while
 * one merges some blobs, another could drop the deleted entry that hides one of theirs, and a content would be back whose
 * pack is gone. (Kopia leaves that to there being one maintainer.)
 */
import type { BlobId, BlobMetadata } from '../blobs/blob-store.ts';
import { sealAlone } from '../repository/index/compact-blobs.ts';
import { encodeCompactionLog } from '../repository/index/compaction-log.ts';
import { readLegacyView, type LegacyView } from '../repository/index/legacy-view.ts';
import { formatGoTime, type Nanoseconds } from '../std/go-time.ts';
import { jsonObject } from '../std/lossless-json.ts';
import { wholeSeconds } from './drop-deleted.ts';
import { blobsToMerge, entriesPerBlob, largeBytes, smallBlobs, smallBlobsMax } from './legacy-plans.ts';
import { removeReplaced } from './remove-replaced.ts';
import { goZeroTime } from './schedule.ts';
import { Sum, type TaskContext, type TaskOutcome } from './task.ts';
import { requireValid, validFor, type Validity } from './validity.ts';

const kind = 'compactIndexesStats';
/** A listing is believed for this long, as one of epochs is. */
const viewValidMs = 20 * 60 * 1000;

/** A view of the index, and until when it may be believed. */
interface TimedView extends LegacyView {
  readonly validity: Validity;
}

interface Merge {
  readonly inputs: readonly BlobMetadata[];
  /** Entries that were deleted up to then are left out; undefined leaves none out. */
  readonly dropSeconds: number | undefined;
}

/** Merges small blobs when there are many, and removes what was merged before. */
export async function compactLegacy(context: TaskContext): Promise<TaskOutcome> {
  const view = await readView(context);
  const inputs = blobsToMerge(activeBlobs(view), largeBytes(context.repository.opened.format));
  const merged =
    inputs.length > 1 ? `${inputs.length} index blobs become one` : 'few index blobs, which stay as they are';
  if (inputs.length < 2) return await finish(context, { summary: merged });
  const nowMs = await merge(context, view, { inputs, dropSeconds: undefined });
  return await finish(context, { nowMs, summary: merged, droppedBefore: goZeroTime });
}

/**
 * Merges all of the index without what was marked as deleted before `upTo`. When nothing was and the small blobs are few,
 * the index stays as it is. (Kopia writes it anew each time.)
 * @param upTo what `safeDropTime` has found
 */
export async function dropFromLegacy(context: TaskContext, upTo: Nanoseconds): Promise<TaskOutcome> {
  const { repository, signal } = context;
  const dropSeconds = lastSecondBefore(upTo);
  await repository.index.refresh({ signal });
  const dropped = new Sum();
  for (const { deleted, timestampSeconds, packedLength } of repository.index.entries()) {
    if (deleted && timestampSeconds <= dropSeconds) dropped.add(packedLength);
  }
  const view = await readView(context);
  const inputs = activeBlobs(view);
  const small = smallBlobs(inputs, largeBytes(repository.opened.format));
  const time = formatGoTime(upTo);
  const summary = `${dropped.count} contents (${dropped.bytes} bytes) marked as deleted before ${time}`;
  if (dropped.count === 0 && small.length < smallBlobsMax) return await finish(context, { summary });
  const nowMs = await merge(context, view, { inputs, dropSeconds });
  return await finish(context, { nowMs, summary, droppedBefore: upTo });
}

/** Only removes what was merged before, by the store's time when this run began: needs no room. */
export async function cleanLegacy(context: TaskContext): Promise<TaskOutcome> {
  return await finish(context, { summary: 'nothing is merged' });
}

/** The last second that is wholly before. */
export function lastSecondBefore(time: Nanoseconds): number {
  return wholeSeconds(time - 1n);
}

async function readView({ repository, clock, signal }: TaskContext): Promise<TimedView> {
  const validity = validFor(viewValidMs, clock);
  return { ...(await readLegacyView(repository, { signal })), validity };
}

function activeBlobs({ active, blobs }: LegacyView): BlobMetadata[] {
  return active.map((id) => blobs.get(id)).filter((blob) => blob !== undefined);
}

/** @returns the store's time when the log was put; undefined with a dry run */
async function merge(
  { repository, clock, rng, dryRun, signal }: TaskContext,
  view: TimedView,
  { inputs, dropSeconds }: Merge,
): Promise<number | undefined> {
  if (dryRun) return undefined;
  const { store, codec, index, opened } = repository;
  const check = (): void => requireValid(view.validity, clock);
  const ids = inputs.map(({ id }) => id);
  const keySizeBytes = 1 + codec.hashLengthBytes;
  const put = await index.compact(ids, {
    beside: [...new Set(view.active).difference(new Set(ids))],
    lengthBytes: new Map([...view.blobs].map(([id, { lengthBytes }]) => [id, lengthBytes])),
    seal: sealAlone(rng),
    isDropped:
      dropSeconds === undefined
        ? undefined
        : ({ deleted, timestampSeconds }) => deleted && timestampSeconds <= dropSeconds,
    entriesPerBlobMax: entriesPerBlob(largeBytes(opened.format), { keySizeBytes }),
    check,
    signal,
  });
  const stat = async (id: BlobId): Promise<BlobMetadata> => await store.stat(id, { signal });
  const outputs = await Promise.all(put.map(stat));
  const log = codec.sealNamed('m', '', encodeCompactionLog({ inputs, outputs }));
  check();
  await store.put(log.id, log.bytes, { signal });
  const { timestampMs } = await stat(log.id);
  await index.refresh({ signal });
  return timestampMs;
}

async function finish(
  context: TaskContext,
  {
    nowMs = context.startMs,
    summary,
    droppedBefore,
  }: { readonly nowMs?: number | undefined; readonly summary: string; readonly droppedBefore?: Nanoseconds },
): Promise<TaskOutcome> {
  const { removed, refused } = await removeReplaced(context, nowMs);
  const data =
    droppedBefore === undefined ? null : jsonObject({ droppedContentsDeletedBefore: formatGoTime(droppedBefore) });
  return { extra: { kind, data }, summary: `${summary}; ${removed.count} blobs of past merges`, removed, refused };
}
