/**
 * Where a blob's file lies below the root of a directory store: Kopia's `.shards` rules (repo/blob/sharded). Names up to
 * a length lie in the root; of longer ones the first letters become directories.
 */
import { BlobError, type BlobId } from '../blob-store.ts';

/** Ends the name of every complete blob; other files are not blobs. */
export const blobSuffix = '.f';
export const shardsFile = '.shards';

export interface ShardRule {
  readonly prefix: string;
  readonly shards: readonly number[];
}

export interface Shards {
  /** Letters in the directory of each level. */
  readonly default: readonly number[];
  readonly maxNonShardedLength: number;
  readonly overrides: readonly ShardRule[];
}

/** Levels and letters that a parameter file may ask for; real ones have up to three of up to three. */
const levelsMax = 16;
const lettersMax = 255;
const rulesMax = 1000;

/** Kopia's rule for a store without parameter file: [1,3] when it is being created, else the old [3,3]. */
export function defaultShards({ create }: { readonly create: boolean }): Shards {
  return { default: create ? [1, 3] : [3, 3], maxNonShardedLength: 20, overrides: [] };
}

/** The contents of `.shards` as Kopia writes it: JSON and a newline. */
export function encodeShards({ default: shards, maxNonShardedLength, overrides }: Shards): string {
  const optional = overrides.length > 0 ? { overrides } : {};
  return `${JSON.stringify({ default: shards, maxNonShardedLength, ...optional })}\n`;
}

/** @throws {BlobError} `blob-layout` when the text is no parameter file */
export function decodeShards(text: string): Shards {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new BlobError('blob-layout', `${shardsFile} is not JSON`, { cause: error });
  }
  const fields = object(json);
  const length = fields['maxNonShardedLength'] ?? 0;
  if (typeof length !== 'number' || !Number.isSafeInteger(length)) throw malformed('maxNonShardedLength');
  const rules = fields['overrides'] ?? [];
  if (!Array.isArray(rules) || rules.length > rulesMax) throw malformed('overrides');
  return {
    default: sizes(fields['default'] ?? []),
    maxNonShardedLength: length,
    overrides: rules.map((rule: unknown) => {
      const { prefix = '', shards } = object(rule);
      if (typeof prefix !== 'string') throw malformed('overrides');
      return { prefix, shards: sizes(shards ?? []) };
    }),
  };
}

function object(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed('the whole');
  return Object.fromEntries(Object.entries(value));
}

function sizes(value: unknown): number[] {
  if (!Array.isArray(value) || value.length > levelsMax) throw malformed('the list of sizes');
  return value.map((size: unknown) => {
    if (typeof size !== 'number' || !Number.isInteger(size) || size < 0 || size > lettersMax) {
      throw malformed('the list of sizes');
    }
    return size;
  });
}

function malformed(what: string): BlobError {
  return new BlobError('blob-layout', `${shardsFile}: ${what} makes no sense`);
}

/**
 * Directories, outermost first, and file name of a blob.
 * @throws {BlobError} `blob-name` when a directory would be `.` or `..` and lead elsewhere
 */
export function shardedPath(shards: Shards, id: BlobId): { readonly directories: string[]; readonly file: string } {
  const directories: string[] = [];
  let rest: string = id;
  if (id.length > shards.maxNonShardedLength) {
    const rule = shards.overrides.find(({ prefix }) => id.startsWith(prefix));
    for (const size of rule?.shards ?? shards.default) {
      if (rest.length <= size) break;
      if (size === 0) continue;
      const directory = rest.slice(0, size);
      if (directory === '.' || directory === '..') throw new BlobError('blob-name', `cannot store a blob named ${id}`);
      directories.push(directory);
      rest = rest.slice(size);
    }
  }
  return { directories, file: rest + blobSuffix };
}

/** The name of the blob that a file holds, by the directories that lead to it; undefined for other files. */
export function blobNameAt(directories: readonly string[], file: string): string | undefined {
  if (!file.endsWith(blobSuffix)) return undefined;
  return directories.join('') + file.slice(0, -blobSuffix.length);
}

/** Whether blobs with this prefix can lie in or below a directory whose path spells `spelled`. */
export function mayHold(spelled: string, prefix: string): boolean {
  return spelled.startsWith(prefix) || prefix.startsWith(spelled);
}
