/**
 * Points in time as Go writes them into JSON: RFC 3339 with up to nine digits of a second and a zone. They are kept as
 * nanoseconds since the Unix epoch in a `bigint`, because which manifest wins is decided by single nanoseconds.
 */

/** Nanoseconds since the Unix epoch; may be negative. */
export type Nanoseconds = bigint;

export const nanosecondsPerSecond = 1_000_000_000n;
const secondsPerDay = 86_400n;

const pattern = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;

/** Undefined when the text is no time. Digits past the ninth are cut, as Go does. */
export function parseGoTime(text: string): Nanoseconds | undefined {
  const match = text.length <= 100 ? pattern.exec(text) : null;
  if (match === null) return undefined;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const zoneHour = Number(match[9] ?? 0);
  const zoneMinute = Number(match[10] ?? 0);
  if (month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) return undefined;
  if (hour > 23 || minute > 59 || second > 59 || zoneHour > 24 || zoneMinute > 59) return undefined;
  const sign = match[8] === '-' ? -1 : 1;
  const seconds = hour * 3600 + minute * 60 + second - sign * (zoneHour * 3600 + zoneMinute * 60);
  const fraction = BigInt((match[7] ?? '').slice(0, 9).padEnd(9, '0'));
  return (
    (BigInt(daysFromCivil({ year, month, day })) * secondsPerDay + BigInt(seconds)) * nanosecondsPerSecond + fraction
  );
}

/** Whether this is a time as `Date.toISOString` writes it; more digits of a second are fine, and none. */
export function isUtcTime(text: string): boolean {
  return /^[^,t]*Z$/.test(text) && parseGoTime(text) !== undefined;
}

/**
 * As Go prints a time in UTC (`time.RFC3339Nano`): the fraction without trailing zeros. Years 0 to 9999; others come
 * out as the nearest end, for Go refuses to read them.
 */
export function formatGoTime(time: Nanoseconds): string {
  const { year, month, day, hour, minute, second, nanosecond } = civil(
    time < minTime ? minTime : time > maxTime ? maxTime : time,
  );
  const fraction = nanosecond === 0 ? '' : `.${digits(nanosecond, 9).replace(/0+$/, '')}`;
  const date = `${digits(year, 4)}-${digits(month, 2)}-${digits(day, 2)}`;
  return `${date}T${digits(hour, 2)}:${digits(minute, 2)}:${digits(second, 2)}${fraction}Z`;
}

export function nanosecondsFromMs(ms: number): Nanoseconds {
  const whole = Math.floor(ms);
  return BigInt(whole) * 1_000_000n + BigInt(Math.floor((ms - whole) * 1_000_000));
}

/** Milliseconds since the Unix epoch, rounded down. */
export function msFromNanoseconds(time: Nanoseconds): number {
  return Number((time - mod(time, 1_000_000n)) / 1_000_000n);
}

/** How far the zone of this process is east of Greenwich at this moment, seconds; whole minutes. */
export function localOffsetSeconds(time: Nanoseconds): number {
  const minutes = new Date(msFromNanoseconds(time)).getTimezoneOffset();
  return Number.isNaN(minutes) ? 0 : minutes * -60;
}

/** A time taken apart, in UTC. */
export interface CivilTime {
  readonly year: number;
  /** 1 to 12. */
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  readonly nanosecond: number;
}

export function civil(time: Nanoseconds): CivilTime {
  const nanosecond = Number(mod(time, nanosecondsPerSecond));
  const seconds = (time - BigInt(nanosecond)) / nanosecondsPerSecond;
  const ofDay = Number(mod(seconds, secondsPerDay));
  const date = civilFromDays(Number((seconds - BigInt(ofDay)) / secondsPerDay));
  return {
    ...date,
    hour: Math.floor(ofDay / 3600),
    minute: Math.floor(ofDay / 60) % 60,
    second: ofDay % 60,
    nanosecond,
  };
}

export interface CivilDate {
  readonly year: number;
  readonly month: number;
  readonly day: number;
}

/**
 * Days since 1970-01-01 in the proleptic Gregorian calendar. Month and day may lie outside of their range and are
 * carried over, as Go's `time.Date` does (31 April is 1 May).
 */
export function daysFromCivil({ year, month, day }: CivilDate): number {
  const months = year * 12 + (month - 1);
  const carriedYear = Math.floor(months / 12);
  const carriedMonth = months - carriedYear * 12 + 1;
  // Years begin in March, so that the leap day is the last (H. Hinnant, "chrono-compatible low-level date algorithms").
  const y = carriedMonth <= 2 ? carriedYear - 1 : carriedYear;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * ((carriedMonth + 9) % 12) + 2) / 5) + day - 1;
  return (
    era * 146_097 + yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear - 719_468
  );
}

export function civilFromDays(days: number): CivilDate {
  const z = days + 719_468;
  const era = Math.floor(z / 146_097);
  const dayOfEra = z - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1_460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shifted = Math.floor((5 * dayOfYear + 2) / 153);
  const month = shifted < 10 ? shifted + 3 : shifted - 9;
  return {
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - Math.floor((153 * shifted + 2) / 5) + 1,
  };
}

const minTime: Nanoseconds =
  BigInt(daysFromCivil({ year: 0, month: 1, day: 1 })) * secondsPerDay * nanosecondsPerSecond;
const maxTime: Nanoseconds =
  BigInt(daysFromCivil({ year: 10_000, month: 1, day: 1 })) * secondsPerDay * nanosecondsPerSecond - 1n;

function daysInMonth(year: number, month: number): number {
  return daysFromCivil({ year, month: month + 1, day: 1 }) - daysFromCivil({ year, month, day: 1 });
}

function mod(value: bigint, by: bigint): bigint {
  const rest = value % by;
  return rest < 0n ? rest + by : rest;
}

function digits(value: number, count: number): string {
  return String(value).padStart(count, '0');
}
