/** How people write lengths of time: what a repository keeps in hours and days, what writers wait in seconds. */
import { CliError } from './cli-error.ts';

const hourMs = 60 * 60 * 1000;
const units: Readonly<Record<string, number>> = { h: hourMs, d: 24 * hourMs, w: 7 * 24 * hourMs, y: 365 * 24 * hourMs };

/** Far beyond any lock, and a time that every store can write down. */
const durationMsMax = 100 * 365 * 24 * hourMs;

/** Milliseconds, from `36h`, `30d`, `6w` or `7y` (of 365 days). @throws {CliError} `usage` */
export function parsePeriod(text: string): number {
  const match = /^(\d{1,6})\s*([hdwy])$/i.exec(text.trim());
  const ms = match === null ? Number.NaN : Number(match[1]) * (units[match[2]!.toLowerCase()] ?? Number.NaN);
  if (!(ms > 0 && ms <= durationMsMax)) {
    throw new CliError(
      'usage',
      `${JSON.stringify(text)} is not a length of time up to 100y; write it as 36h, 30d, 6w or 7y`,
    );
  }
  return ms;
}

const shortUnits: Readonly<Record<string, number>> = { ms: 1, s: 1000, min: 60_000 };
const shortMsMax = 60 * 60_000;

/** Milliseconds, from `500ms`, `5s` or `2min`; an hour at most. @throws {CliError} `usage` */
export function parseShortTime(text: string): number {
  const match = /^(\d{1,7})\s*(ms|s|min)$/i.exec(text.trim());
  const ms = match === null ? Number.NaN : Number(match[1]) * (shortUnits[match[2]!.toLowerCase()] ?? Number.NaN);
  if (!(ms > 0 && ms <= shortMsMax)) {
    throw new CliError('usage', `${JSON.stringify(text)} is not a length of time up to 60min; write it as 500ms or 5s`);
  }
  return ms;
}
