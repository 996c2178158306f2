/**
 * When it is safe to do what (Kopia `maintenance_safety.go`, `maintenance_run.go`, `snapshotgc/gc.go`). Every number and
 * every comparison here stands between somebody's only copy and its deletion: they are Kopia's, and none is rounded.
 * Pure: a time comes in, a decision goes out.
 *
 * Why two collections before anything is dropped: a collection may mark what a snapshot has just begun to use. The mark
 * does not hide the content from readers. The next collection, which sees that snapshot, takes the mark off. So what was
 * marked before an earlier collection began, and is still marked after a later one, is really unused.
 */
import { nanosecondsFromMs, type Nanoseconds } from '../std/go-time.ts';
import { goZeroTime, type Schedule, type TaskRun } from './schedule.ts';

const minuteMs = 60 * 1000;
const hourMs = 60 * minuteMs;

/** Contents younger than this are not written again. */
export const rewriteAgeMinMs: number = 2 * hourMs;
/** Contents younger than this are not marked as deleted. */
export const contentAgeMinMs: number = 24 * hourMs;
/** A collection must have ended longer than this before another begins, for the two to count as two. */
export const marginBetweenGcMs: number = 4 * hourMs;
/** What was marked this shortly before the earlier of the two began is not dropped yet. */
export const dropExtraMarginMs: number = hourMs;
/** Blobs younger than this are not removed. */
export const blobAgeMinMs: number = 24 * hourMs;
/** A session protects its blobs until it has not been heard of for this long. */
export const sessionAgeMaxMs: number = 96 * hourMs;
/** After contents were written again, their old packs stay at least this long. */
export const rewriteToDeleteMinMs: number = hourMs;
/** Blobs this much younger than the run's beginning count as older than it (Kopia: clocks that move in steps). */
export const cutoffSlackMs = 1000;
/** Between the store's clock and ours. */
export const clockSkewMaxMs: number = 5 * minuteMs;

export type Mode = 'full' | 'quick' | 'none';

export interface Cycle {
  readonly enabled: boolean;
  readonly interval: Nanoseconds;
}

/** What is due now: full before quick, because it does more. */
export function dueMode(
  schedule: Pick<Schedule, 'nextFull' | 'nextQuick'>,
  { full, quick }: { readonly full: Cycle; readonly quick: Cycle },
  now: Nanoseconds,
): Mode {
  if (full.enabled && now >= schedule.nextFull) return 'full';
  if (quick.enabled && now >= schedule.nextQuick) return 'quick';
  return 'none';
}

/** When the last successful run of any of these ended; Go's zero time when there was none. */
export function lastEnd(...histories: readonly (readonly TaskRun[])[]): Nanoseconds {
  let last = goZeroTime;
  for (const { success, end } of histories.flat()) if (success && end > last) last = end;
  return last;
}

/** Whether packs were removed since contents were last written again: else writing again would starve removing. */
export function mayRewrite(schedule: Pick<Schedule, 'runs'>): boolean {
  const rewritten = lastEnd(schedule.runs('full-rewrite-contents'));
  const removed = lastEnd(schedule.runs('full-delete-blobs'), schedule.runs('quick-delete-blobs'));
  return rewritten === goZeroTime || removed >= rewritten;
}

/** As `mayRewrite`, for a quick run, which looks at both kinds of writing again. */
export function mayRewriteQuick(schedule: Pick<Schedule, 'runs'>): boolean {
  const rewritten = lastEnd(schedule.runs('full-rewrite-contents'), schedule.runs('quick-rewrite-contents'));
  const removed = lastEnd(schedule.runs('full-delete-blobs'), schedule.runs('quick-delete-blobs'));
  return rewritten === goZeroTime || removed >= rewritten;
}

/** Whether a quick run removes packs of all kinds: else those that a full run has emptied would wait for the next one. */
export function removesAllKinds(schedule: Pick<Schedule, 'runs'>): boolean {
  return lastEnd(schedule.runs('full-rewrite-contents')) >= lastEnd(schedule.runs('quick-rewrite-contents'));
}

/** From when on packs may be removed: readers with an older index may be looking into those just replaced. */
export function removalFrom(schedule: Pick<Schedule, 'runs'>): Nanoseconds {
  const rewritten = lastEnd(schedule.runs('full-rewrite-contents'), schedule.runs('quick-rewrite-contents'));
  return rewritten === goZeroTime ? goZeroTime : rewritten + nanosecondsFromMs(rewriteToDeleteMinMs);
}

/**
 * Deleted entries up to this time may be dropped; undefined when it is not yet safe to drop any.
 * @param runs of the snapshot collection
 */
export function safeDropTime(runs: readonly TaskRun[]): Nanoseconds | undefined {
  const [latest, ...earlier] = runs.filter(({ success }) => success).toSorted(latestStartFirst);
  if (latest === undefined) return undefined;
  const before = earlier.find(({ end }) => latest.start - end > nanosecondsFromMs(marginBetweenGcMs));
  return before === undefined ? undefined : before.start - nanosecondsFromMs(dropExtraMarginMs);
}

function latestStartFirst(a: TaskRun, b: TaskRun): number {
  return a.start === b.start ? 0 : a.start > b.start ? -1 : 1;
}

/** Whether a content that no snapshot uses may be marked as deleted. Times are Unix milliseconds. */
export function isCollectable(entryTimeMs: number, { startMs }: { readonly startMs: number }): boolean {
  return startMs - entryTimeMs >= contentAgeMinMs;
}

/** Whether a content of a short pack may be written again. */
export function isRewritable(entryTimeMs: number, { nowMs }: { readonly nowMs: number }): boolean {
  return nowMs - entryTimeMs >= rewriteAgeMinMs;
}

/**
 * Whether a blob that no index entry names may be removed.
 * @param startMs when this maintenance began, by the store's clock
 * @param sessionCheckpointMs when its session was last heard of; undefined when the session has no marker
 */
export function isRemovable(
  blobTimeMs: number,
  { startMs, sessionCheckpointMs }: { readonly startMs: number; readonly sessionCheckpointMs: number | undefined },
): boolean {
  const cutoffMs = startMs + cutoffSlackMs;
  if (cutoffMs - blobTimeMs < blobAgeMinMs) return false;
  return sessionCheckpointMs === undefined || cutoffMs - sessionCheckpointMs >= sessionAgeMaxMs;
}

/** Whether two clocks are close enough. */
export function clocksAgree(storeMs: number, ownMs: number): boolean {
  return Math.abs(storeMs - ownMs) <= clockSkewMaxMs;
}
