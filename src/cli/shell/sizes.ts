/**
 * How people write and read amounts. `K M G T P` and `Ki Mi Gi Ti Pi` (with or without a final `B` after the `i`) are powers of
 * 1024; `KB MB GB TB PB` are powers of 1000. Printed sizes are always powers of 1024 and say so.
 */
import { formatSize } from '../../std/format-size.ts';
import { CliError } from './cli-error.ts';

const sizePattern = /^(\d{1,16}(?:\.\d{1,6})?)\s*(?:([KMGTP])(i?)(B?)|B)?$/i;
const prefixes = 'KMGTP';

/** Bytes. @throws {CliError} `usage` when it is not a size, no whole number of bytes, or not below 8 PiB */
export function parseSize(text: string): number {
  const match = sizePattern.exec(text.trim());
  if (match === null)
    throw new CliError('usage', `${JSON.stringify(text)} is not a size; write it as 512, 64Ki, 10G or 5MB`);
  const [, digits, prefix, binary, final] = match;
  const decimal = binary === '' && final !== '';
  const power = prefix === undefined ? 0 : prefixes.indexOf(prefix.toUpperCase()) + 1;
  const bytes = Number(digits) * (decimal ? 1000 : 1024) ** power;
  if (!Number.isSafeInteger(bytes)) {
    throw new CliError('usage', `${JSON.stringify(text)} is not a whole number of bytes below 8 PiB`);
  }
  return bytes;
}

/** Bytes per second, above zero: a size, optionally followed by `/s`. @throws {CliError} `usage` */
export function parseRate(text: string): number {
  const rate = parseSize(text.trim().replace(/\/s$/i, ''));
  if (rate === 0) throw new CliError('usage', 'a rate must be above zero');
  return rate;
}

/** A share of 1 from a percentage above 0 and at most 100, such as `5%` or `0.1%`. @throws {CliError} `usage` */
export function parsePercent(text: string): number {
  const match = /^(\d{1,3}(?:\.\d{1,6})?)\s*%?$/.exec(text.trim());
  const percent = Number(match?.[1] ?? 'NaN');
  if (!(percent > 0 && percent <= 100)) {
    throw new CliError('usage', `${JSON.stringify(text)} is not a percentage above 0 and up to 100; write it as 5%`);
  }
  return percent / 100;
}

export function formatRate(bytesPerSecond: number): string {
  return `${formatSize(bytesPerSecond)}/s`;
}

/** `0.4 s`, `12 s`, `3 min 04 s`, `2 h 05 min`. */
export function formatDuration(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}
