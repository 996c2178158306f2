/**
 * Which snapshots of a volume may go by a retention policy. Only those that a user took without giving them a name are
 * tried: what got a name was meant to stay, and what a backup made is the backup's to remove. Whether something needs or
 * uses one is not looked at here: that is told when it is to be deleted.
 */
import { nanosecondsFromMs, parseGoTime, type Nanoseconds } from '../std/go-time.ts';
import { applyRetention, type RetentionOptions, type RetentionPolicy } from '../std/retention.ts';
import { isTimeName } from './pool-names.ts';
import type { PoolSnapshot } from './pool.ts';

export interface ExpiryOptions {
  /** Milliseconds since 1970. */
  readonly nowMs: number;
  readonly policy: RetentionPolicy;
  readonly zone: RetentionOptions;
  /** Those that got a name are tried, and counted, as well. */
  readonly named: boolean;
  /** Names of snapshots whose images are there: one that is lost takes the place of none, and is left for `dray pool check`. */
  readonly sound: ReadonlySet<string>;
}

export interface PlannedSnapshot {
  readonly snapshot: PoolSnapshot;
  /** Why it stays: `latest-1`, `hourly-3`, …, `by a backup`, `lost`, `from the future`, `named`; none: it may go. */
  readonly reasons: readonly string[];
}

/** Over all snapshots of one volume. @returns newest first */
export function planExpiry(
  snapshots: readonly PoolSnapshot[],
  { policy, zone, ...options }: ExpiryOptions,
): PlannedSnapshot[] {
  const items = snapshots.map((snapshot) => {
    // A record whose time cannot be read is no record.
    const time = parseGoTime(snapshot.record.created)!;
    const anyway = whyAnyway(snapshot, time, options);
    return { id: snapshot.record.id, startTime: time, endTime: time, pins: [], snapshot, anyway };
  });
  const tried = items.filter(({ anyway }) => anyway === undefined);
  const kept = new Map(applyRetention(tried, policy, zone).keep.map(({ item, reasons }) => [item.snapshot, reasons]));
  return items
    .toSorted((a, b) => (a.startTime === b.startTime ? 0 : a.startTime > b.startTime ? -1 : 1))
    .map(({ snapshot, anyway }) => ({
      snapshot,
      reasons: anyway === undefined ? (kept.get(snapshot) ?? []) : [anyway],
    }));
}

/** Why it stays whatever the policy says. */
function whyAnyway(
  { snapshot: name, record }: PoolSnapshot,
  time: Nanoseconds,
  { named, sound, nowMs }: Pick<ExpiryOptions, 'named' | 'sound' | 'nowMs'>,
): string | undefined {
  if (record.madeBy === 'backup') return 'by a backup';
  if (!sound.has(name)) return 'lost';
  if (!named && !isTimeName(name)) return 'named';
  // Periods are counted back from the newest: one that was taken while the clock was wrong would let all others go.
  return time > nanosecondsFromMs(nowMs) ? 'from the future' : undefined;
}
