/**
 * Which snapshots of a volume may go by a retention policy. Only those that a user took without giving them a name are
 * tried: what got a name was meant to stay, and what a backup made is the backup's to remove. Whether something needs or
 * uses one is not looked at here: that is told when it is to be deleted.
 */
import { parseGoTime } from '../std/go-time.ts';
import { applyRetention, type RetentionOptions, type RetentionPolicy } from '../std/retention.ts';
import { isTimeName } from './pool-names.ts';
import type { PoolSnapshot } from './pool.ts';

export interface ExpiryOptions {
  readonly policy: RetentionPolicy;
  readonly zone: RetentionOptions;
  /** Those that got a name are tried, and counted, as well. */
  readonly named: boolean;
  /** Names of snapshots whose images are there: one that is lost takes the place of none, and is left for `dray pool check`. */
  readonly sound: ReadonlySet<string>;
}

export interface PlannedSnapshot {
  readonly snapshot: PoolSnapshot;
  /** Why it stays: `latest-1`, `hourly-3`, …, `by a backup`, `lost`, `named`; none: it may go. */
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
    return { id: snapshot.record.id, startTime: time, endTime: time, pins: [], snapshot };
  });
  const tried = items.filter(({ snapshot }) => staysAnyway(snapshot, options) === undefined);
  const kept = new Map(applyRetention(tried, policy, zone).keep.map(({ item, reasons }) => [item.snapshot, reasons]));
  return items
    .toSorted((a, b) => (a.startTime === b.startTime ? 0 : a.startTime > b.startTime ? -1 : 1))
    .map(({ snapshot }) => {
      const anyway = staysAnyway(snapshot, options);
      return { snapshot, reasons: anyway === undefined ? (kept.get(snapshot) ?? []) : [anyway] };
    });
}

function staysAnyway(
  { snapshot: name, record }: PoolSnapshot,
  { named, sound }: Pick<ExpiryOptions, 'named' | 'sound'>,
): string | undefined {
  if (record.madeBy === 'backup') return 'by a backup';
  if (!sound.has(name)) return 'lost';
  return named || isTimeName(name) ? undefined : 'named';
}
