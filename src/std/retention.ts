/**
 * Which of things that are made one after another stay: Kopia's rule to the letter (`snapshot/policy/retention_policy.go`,
 * `expire.go`), so that it does not matter who expires. Letters worth knowing: the classes are tried from latest over
 * annual to hourly and share one set of period keys, so that the ISO week `2024-05` is taken once the month `2024-05` is;
 * cutoffs count from the newest complete one, not from now; a year before 29 February is 1 March; hours are 64-bit
 * nanoseconds that wrap around (Velero's 2147483647 hours do).
 */
import { civil, daysFromCivil, nanosecondsPerSecond } from './go-time.ts';
import type { CivilTime, Nanoseconds } from './go-time.ts';

/** How many to keep of each class; absent is "this class keeps none", all zero or absent is "keep everything". */
export interface RetentionPolicy {
  readonly keepLatest?: number | undefined;
  readonly keepHourly?: number | undefined;
  readonly keepDaily?: number | undefined;
  readonly keepWeekly?: number | undefined;
  readonly keepMonthly?: number | undefined;
  readonly keepAnnual?: number | undefined;
}

export interface Retainable {
  /** Decides between items of one time. */
  readonly id: string;
  readonly startTime: Nanoseconds;
  readonly endTime: Nanoseconds;
  /** Why it is not whole: such an item takes the place of none, and stays while it is new. */
  readonly incomplete?: string | undefined;
  /** Any of them keeps it. */
  readonly pins: readonly string[];
}

export interface RetentionOptions {
  /** Kopia computes weeks in the zone of its process; here UTC unless this says otherwise. Seconds east of Greenwich. */
  readonly utcOffsetSeconds?: (time: Nanoseconds) => number;
}

export interface RetentionResult<Item> {
  /** Newest first; the reasons are empty for one that only its pins keep. */
  readonly keep: readonly { readonly item: Item; readonly reasons: readonly string[] }[];
  /** Newest first. */
  readonly expire: readonly Item[];
}

/** Decides over all of one line, in any order. */
export function applyRetention<Item extends Retainable>(
  items: readonly Item[],
  policy: RetentionPolicy,
  options: RetentionOptions = {},
): RetentionResult<Item> {
  const newestFirst = items.toSorted(byTimeDescending);
  const reasons = new Map<Item, string[]>(newestFirst.map((item) => [item, []]));
  keepComplete(newestFirst, policy, { options, reasons });
  keepIncomplete(newestFirst, reasons);
  const keep: { item: Item; reasons: readonly string[] }[] = [];
  const expire: Item[] = [];
  for (const item of newestFirst) {
    const found = reasons.get(item)!;
    if (found.length > 0 || item.pins.length > 0) keep.push({ item, reasons: found.toSorted(byClass) });
    else expire.push(item);
  }
  return { keep, expire };
}

interface Period {
  readonly name: string;
  readonly max: number | undefined;
  readonly cutoff: Nanoseconds | undefined;
  readonly key: (item: Retainable, index: number) => string;
}

function keepComplete<Item extends Retainable>(
  newestFirst: readonly Item[],
  policy: RetentionPolicy,
  { options, reasons }: { readonly options: RetentionOptions; readonly reasons: ReadonlyMap<Item, string[]> },
): void {
  const newest = newestFirst.find((item) => item.incomplete === undefined);
  if (newest === undefined) return;
  const periods = periodsOf(policy, newest.startTime, options);
  const taken = new Set<string>();
  const counts = new Map<string, number>();
  for (const [index, item] of newestFirst.entries()) {
    if (item.incomplete !== undefined) continue;
    for (const { name, max, cutoff, key } of periods) {
      if (max === undefined || (cutoff !== undefined && item.startTime < cutoff)) continue;
      const period = key(item, index);
      const count = counts.get(name) ?? 0;
      if (taken.has(period) || count >= max) continue;
      taken.add(period);
      counts.set(name, count + 1);
      reasons.get(item)!.push(`${name}-${count + 1}`);
    }
  }
}

function periodsOf(
  policy: RetentionPolicy,
  newest: Nanoseconds,
  { utcOffsetSeconds }: RetentionOptions,
): readonly Period[] {
  const { keepLatest, keepAnnual, keepMonthly, keepWeekly, keepDaily, keepHourly } = policy;
  const all = [keepLatest, keepHourly, keepDaily, keepWeekly, keepMonthly, keepAnnual];
  const keepsAll = all.reduce<number>((sum, count) => sum + (count ?? 0), 0) === 0;
  const local = (time: Nanoseconds): Nanoseconds => time + BigInt(utcOffsetSeconds?.(time) ?? 0) * nanosecondsPerSecond;
  const day = ({ startTime }: Retainable): string => dateKey(civil(startTime)).slice(0, 10);
  return [
    {
      name: 'latest',
      max: keepsAll ? Number.MAX_SAFE_INTEGER : keepLatest,
      cutoff: undefined,
      key: (_, index) => String(index),
    },
    { name: 'annual', max: keepAnnual, cutoff: before(newest, { years: keepAnnual }), key: (s) => day(s).slice(0, 4) },
    {
      name: 'monthly',
      max: keepMonthly,
      cutoff: before(newest, { months: keepMonthly }),
      key: (s) => day(s).slice(0, 7),
    },
    {
      name: 'weekly',
      max: keepWeekly,
      cutoff: before(newest, { days: keepWeekly === undefined ? undefined : keepWeekly * 7 }),
      key: (s) => isoWeek(civil(local(s.startTime))),
    },
    { name: 'daily', max: keepDaily, cutoff: before(newest, { days: keepDaily }), key: day },
    {
      name: 'hourly',
      max: keepHourly,
      cutoff: hoursBefore(newest, keepHourly),
      key: (s) => dateKey(civil(s.startTime)),
    },
  ];
}

/** Incomplete ones newer than the newest complete one: the young, and the first few. */
function keepIncomplete<Item extends Retainable>(
  newestFirst: readonly Item[],
  reasons: ReadonlyMap<Item, string[]>,
): void {
  const newest = newestFirst[0]?.startTime ?? 0n;
  for (const [index, item] of newestFirst.entries()) {
    if (item.incomplete === undefined) return;
    const young = newest - item.startTime < incompleteAgeMax;
    if (!young && index >= incompleteCountMin) return;
    reasons.get(item)!.push('incomplete');
  }
}

const incompleteAgeMax: Nanoseconds = 4n * 3600n * nanosecondsPerSecond;
const incompleteCountMin = 3;
/** Counts are Go ints; far above this they are "all", and dates stay exact. */
const countMax = 2 ** 31 - 1;

interface Distance {
  readonly years?: number | undefined;
  readonly months?: number | undefined;
  readonly days?: number | undefined;
}

/** Go's `AddDate`: takes the date apart, subtracts, and carries what is out of range over. */
function before(time: Nanoseconds, { years, months, days }: Distance): Nanoseconds {
  const { year, month, day } = civil(time);
  const back = (count: number | undefined): number => Math.min(count ?? 0, countMax * 7);
  const date = { year: year - back(years), month: month - back(months), day: day - back(days) };
  const movedDays = daysFromCivil(date) - daysFromCivil({ year, month, day });
  return time + BigInt(movedDays) * 86_400n * nanosecondsPerSecond;
}

function hoursBefore(time: Nanoseconds, hours: number | undefined): Nanoseconds {
  return time + BigInt.asIntN(64, -BigInt(Math.min(hours ?? 0, countMax)) * 3600n * nanosecondsPerSecond);
}

/** `2006-01-02 15` */
function dateKey({ year, month, day, hour }: CivilTime): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${String(year).padStart(4, '0')}-${two(month)}-${two(day)} ${two(hour)}`;
}

/** Year and week of ISO 8601: the year that the week's Thursday lies in. */
function isoWeek({ year, month, day }: CivilTime): string {
  const days = daysFromCivil({ year, month, day });
  // 1970-01-01 was a Thursday; Monday is 0.
  const weekday = (((days + 3) % 7) + 7) % 7;
  const thursday = days - weekday + 3;
  let isoYear = year;
  if (thursday < daysFromCivil({ year, month: 1, day: 1 })) isoYear -= 1;
  else if (thursday >= daysFromCivil({ year: year + 1, month: 1, day: 1 })) isoYear += 1;
  const week = Math.floor((thursday - daysFromCivil({ year: isoYear, month: 1, day: 1 })) / 7) + 1;
  return `${String(isoYear).padStart(4, '0')}-${String(week).padStart(2, '0')}`;
}

function byTimeDescending(a: Retainable, b: Retainable): number {
  if (a.startTime !== b.startTime) return a.startTime > b.startTime ? -1 : 1;
  if (a.endTime !== b.endTime) return a.endTime > b.endTime ? -1 : 1;
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

const classOrder = ['latest', 'hourly', 'daily', 'weekly', 'monthly', 'annual'];

function byClass(a: string, b: string): number {
  return classOrder.indexOf(a.split('-')[0]!) - classOrder.indexOf(b.split('-')[0]!);
}
