/**
 * Which index blobs of a repository without epochs to merge, and which blobs may go (Kopia `index_blob_manager_v0.go`). Pure.
 * Times are those of the store.
 *
 * What a compaction has replaced stays for an hour after its log was put: whoever has listed before reads it. Then the index
 * blobs go, and their log is scheduled in a cleanup entry; it goes an hour after that, and the entry last. Were a log gone
 * before what it replaces, that would count again, with contents that have been dropped since.
 *
 * Kopia removes what old logs replace in any order, and whatever else is there. Here a blob goes only when what it says is in
 * blobs that count, over however many logs, and only after all that it was itself made of: its being there is what keeps
 * those replaced. A log goes only when nothing of what it replaces is there any more.
 */
import type { BlobId, BlobMetadata } from '../blobs/blob-store.ts';
import type { CleanupEntry } from '../repository/index/cleanup-entry.ts';
import { soundLogs, type LegacyView, type StoredLog } from '../repository/index/legacy-view.ts';
import { nanosecondsFromMs } from '../std/go-time.ts';

/** Between a log and the removal of what it replaces, and again until its own (Kopia `defaultEventualConsistencySettleTime`). */
export const settleMs: number = 60 * 60 * 1000;
/** Fewer blobs that are not large stay as they are (Kopia `maxSmallBlobsForIndexCompaction`). */
export const smallBlobsMax = 8;
/** A blob shorter than this part of the largest is very small (Kopia `verySmallContentFraction`). */
const verySmallFraction = 20;
/**
 * A blob longer than this is large, bytes; the limit of packs when that is less, as in Kopia. A blob is sealed in memory, so
 * ours are not much longer, and were they not large they would be merged for ever.
 */
const largeBytesMax = 32 * 1024 * 1024;
/** What an entry takes at least, apart from its key, bytes: as in index version 2. */
const valueBytesMin = 16;

type Sized = Pick<BlobMetadata, 'id' | 'lengthBytes'>;

/** Those longer than this are merged only to drop something. */
export function largeBytes({ maxPackSizeBytes }: { readonly maxPackSizeBytes: number }): number {
  return Math.min(maxPackSizeBytes, largeBytesMax);
}

/** As many as make a blob large. */
export function entriesPerBlob(largeBytesMin: number, { keySizeBytes }: { readonly keySizeBytes: number }): number {
  return Math.ceil(largeBytesMin / (keySizeBytes + valueBytesMin));
}

export function smallBlobs<Blob extends Sized>(active: readonly Blob[], largeMin: number): readonly Blob[] {
  return active.filter(({ lengthBytes }) => lengthBytes <= largeMin);
}

/** What to merge in a quick run: the very small ones while there are few others, or all that are not large; nothing when they are few. */
export function blobsToMerge<Blob extends Sized>(active: readonly Blob[], largeMin: number): readonly Blob[] {
  const small = smallBlobs(active, largeMin);
  if (small.length < smallBlobsMax) return [];
  const verySmallMin = Math.floor(largeMin / verySmallFraction);
  const verySmall = small.filter(({ lengthBytes }) => lengthBytes < verySmallMin);
  const medium = small.length - verySmall.length;
  const isMostly = verySmall.length > Math.floor(small.length / 2);
  return isMostly && medium + 1 < smallBlobsMax ? verySmall : small;
}

/** What one log has replaced and is still there. */
export interface ReplacedBlobs {
  readonly log: StoredLog;
  readonly blobs: readonly BlobMetadata[];
  /** The logs that tell what these were made of; nothing of that may be there when these are removed. */
  readonly makers: readonly StoredLog[];
}

/**
 * What old logs have replaced, each behind its makers, and logs that have nothing left to replace, whose makers have nothing
 * either: what is left of a blob's inputs is replaced only as long as the log is there that replaces the blob.
 * @param nowMs the store's, or an earlier one
 */
export function replacedBlobs(
  { blobs, logs, active }: LegacyView,
  { nowMs }: { readonly nowMs: number },
): readonly ReplacedBlobs[] {
  const sound = soundLogs(logs.values(), active);
  const makersOf = makersOfInputs(logs);
  const replaced: ReplacedBlobs[] = [];
  const gone = new Set<BlobId>();
  for (const log of byAge(logs)) {
    if (nowMs - log.timestampMs < settleMs) continue;
    const present = log.inputs.map((id) => blobs.get(id)).filter((blob) => blob !== undefined);
    const makers = makersOf(log);
    const isBare = makers.every(({ inputs }) => inputs.every((id) => !blobs.has(id) || gone.has(id)));
    if (!isBare || (present.length > 0 && !sound.has(log))) continue;
    for (const { id } of present) gone.add(id);
    replaced.push({ log, blobs: present, makers });
  }
  return replaced;
}

/** The oldest first, so that what a blob was made of comes before the blob. */
function byAge(logs: LegacyView['logs']): readonly StoredLog[] {
  return [...logs.values()].toSorted((a, b) => a.timestampMs - b.timestampMs);
}

/** The logs that tell what a log's inputs were made of, whether these are there or not. */
function makersOfInputs(logs: LegacyView['logs']): (log: StoredLog) => readonly StoredLog[] {
  const outputs = [...logs.values()].flatMap((log) => log.outputs.map((output) => ({ output, log })));
  const makers = Map.groupBy(outputs, ({ output }) => output);
  return ({ inputs }) => inputs.flatMap((id) => makers.get(id) ?? []).map(({ log }) => log);
}

export interface StoredCleanup extends CleanupEntry {
  readonly blob: BlobMetadata;
}

export interface CleanupPlan {
  /** To be removed first. */
  readonly logs: readonly BlobId[];
  readonly cleanups: readonly BlobMetadata[];
}

/** Logs that keep nothing replaced, and the entries that scheduled them, whose time has come. @param nowMs the store's, or an earlier one */
export function cleanupsToFinish(
  { blobs, logs }: Pick<LegacyView, 'blobs' | 'logs'>,
  cleanups: readonly StoredCleanup[],
  { nowMs }: { readonly nowMs: number },
): CleanupPlan {
  const makersOf = makersOfInputs(logs);
  const needed = new Set<StoredLog>();
  for (const log of byAge(logs)) {
    const chain = [log, ...makersOf(log)];
    if (chain.some((one) => needed.has(one) || one.inputs.some((input) => blobs.has(input)))) needed.add(log);
  }
  const isNeeded = (id: BlobId): boolean => logs.has(id) && needed.has(logs.get(id)!);
  const old = cleanups.filter(({ scheduled }) => {
    return nanosecondsFromMs(nowMs) - scheduled >= nanosecondsFromMs(settleMs);
  });
  const named = new Set(old.flatMap((cleanup) => cleanup.logs));
  return {
    logs: [...named].filter((log) => logs.has(log) && !isNeeded(log)),
    cleanups: old.filter((cleanup) => !cleanup.logs.some(isNeeded)).map(({ blob }) => blob),
  };
}
