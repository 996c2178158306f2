/** Adapters between commander, which wants an error of its own, and the parsers of values, which know nothing of it. */
import { InvalidArgumentError, Option } from 'commander';
import { checkPoolName, parseSnapshotName, type SnapshotName } from '../../pool/pool-names.ts';
import { PoolError } from '../../pool/pool-error.ts';
import { CliError } from './cli-error.ts';
import { parsePeriod, parseShortTime } from './durations.ts';
import { parsePercent, parseRate, parseSize } from './sizes.ts';

/** `--flag <size>`, parsed to bytes. */
export function sizeOption(flags: string, description: string): Option {
  return new Option(flags, description).argParser(adapt(parseSize));
}

/** `--flag <rate>`, parsed to bytes per second. */
export function rateOption(flags: string, description: string): Option {
  return new Option(flags, description).argParser(adapt(parseRate));
}

/** `--flag <percent>`, parsed to a share of 1. */
export function percentOption(flags: string, description: string): Option {
  return new Option(flags, description).argParser(adapt(parsePercent));
}

/** `--flag <period>`, parsed to milliseconds. */
export function periodOption(flags: string, description: string): Option {
  return new Option(flags, description).argParser(adapt(parsePeriod));
}

/** `--flag <time>`, parsed to milliseconds. */
function timeOption(flags: string, description: string): Option {
  return new Option(flags, description).argParser(adapt(parseShortTime));
}

/** `--flag <n>`, a whole number of at least `min`. */
export function countOption(flags: string, description: string, { min, max = 1_000_000 }: CountRange): Option {
  return new Option(flags, description).argParser(adapt((text) => parseCount(text, { min, max })));
}

export interface CountRange {
  readonly min: number;
  readonly max?: number;
}

/** Repeatable `--tag key=value`, gathered into one record. */
export function tagOption(description: string): Option {
  const add = adapt(parseTag);
  return new Option('--tag <key=value>', description).argParser<Tags>((text, tags) => ({ ...tags, ...add(text) }));
}

/** Repeatable, in order. */
export function patternOption(flags: string, description: string): Option {
  return new Option(flags, description).argParser<readonly string[] | undefined>((text, others = []) => [
    ...others,
    text,
  ]);
}

export type Tags = Readonly<Record<string, string>>;

/** The options that every command on the data path takes. */
export interface PaceOptions {
  /** Chunks at work at once; `undefined` leaves it to the machine's cores. */
  readonly parallel: number | undefined;
  readonly rateBytesPerSecond: number | undefined;
}

export const parallelOption = (): Option =>
  countOption('--parallel <n>', 'worker threads, about 45 MiB each (default: one per core, up to 4)', {
    min: 1,
    max: 256,
  });
export const rateLimitOption = (): Option =>
  rateOption('--rate-limit <rate>', 'at most this many bytes a second to or from the repository, such as 100M');

/**
 * A path of a volume, as an argument. The system's words come as bytes, and what is not UTF-8 arrives with replacement
 * characters: that name opens nothing, and would stand in the snapshot for ever.
 */
export const volumePath: (text: string) => string = adapt((text) => {
  if (text.includes('\uFFFD'))
    throw new CliError('usage', 'The name is not UTF-8: rename it, or make a link to it (ln -s) and name the link.');
  return text;
});

/** Ids of a repository's snapshots are hexadecimal, so what has this mark is the pool's. */
export function isPoolSnapshot(text: string): boolean {
  return text.includes('@');
}

/** An argument `VOLUME@SNAPSHOT`. */
export const poolSnapshot: (text: string) => SnapshotName = adapt(parseSnapshotName);

/** An argument that names a volume of the pool. */
export const volumeName: (text: string) => string = adapt((text) => {
  if (!isPoolSnapshot(text)) return checkPoolName(text, 'volume');
  throw new CliError('usage', `"${text}" names a snapshot; a volume is meant here, as "${text.split('@')[0]}".`);
});

/** As `volumeName`, for an argument that may be given several times; a name that is given twice counts once. */
export const volumeNames = (text: string, others: readonly string[] = []): readonly string[] => [
  ...new Set([...others, volumeName(text)]),
];

/** `--flag <name>`, of a snapshot of the pool that is to be made. */
export function snapshotNameOption(flags: string, description: string): Option {
  return new Option(flags, description).argParser(adapt((text) => checkPoolName(text, 'snapshot')));
}

/** The id of a repository's snapshot, or its beginning. */
export const snapshotId: (text: string) => string = adapt((text) => {
  if (!/^[0-9a-f]{1,64}$/.test(text)) throw new CliError('usage', 'it must be the id of a snapshot of the repository');
  return text;
});

function parseCount(text: string, { min, max }: { readonly min: number; readonly max: number }): number {
  const count = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
  if (!(count >= min && count <= max)) throw new CliError('usage', `it must be a whole number from ${min} to ${max}`);
  return count;
}

function parseTag(text: string): Tags {
  const at = text.indexOf('=');
  const key = text.slice(0, Math.max(0, at)).trim();
  if (key === '') throw new CliError('usage', 'write a tag as key=value');
  // A null prototype would print oddly; a computed key of a literal is always an own property.
  return { [key]: text.slice(at + 1) };
}

function adapt<Value>(parse: (text: string) => Value): (text: string) => Value {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      if (error instanceof CliError || error instanceof PoolError) throw new InvalidArgumentError(error.message);
      throw error;
    }
  };
}

/** Of a file system that is frozen for its snapshot. */
export const freezeBoundOption = (): Option =>
  timeOption('--freeze-bound <time>', 'the longest that writers of a mounted volume may wait').default(5000, '5s');
