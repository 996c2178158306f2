/** How people write lengths of time that a repository keeps: whole days above all. */
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
