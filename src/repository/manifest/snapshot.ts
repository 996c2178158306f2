/**
 * Snapshot manifests (Kopia `snapshot/manifest.go`). A manifest that another program wrote is never
 * written again from what we understood of it: `withPins` changes one member of the original text.
 */
import assert from 'node:assert/strict';

import * as v from 'valibot';

import { formatGoTime } from '../../std/go-time.ts';
import type { Nanoseconds } from '../../std/go-time.ts';
import { isJsonObject, jsonObject, parseJson } from '../../std/lossless-json.ts';
import type { JsonValue } from '../../std/lossless-json.ts';
import { anyObject } from '../../std/schema.ts';
import { RepositoryError } from '../repository-error.ts';
import { decodeDirEntry, encodeDirEntry } from './dir-entry.ts';
import type { DirEntry } from './dir-entry.ts';
import { decodeJson, goInteger, goObject, goString, goTimeOrEpoch } from './json-field.ts';
import type { Labels, ManifestEntry, ManifestId } from './manifest-codec.ts';
import type { ManifestSet } from './manifest-set.ts';
import { sourceLabels } from './snapshot-source.ts';
import type { SnapshotSource } from './snapshot-source.ts';

/** The id of a snapshot is that of its manifest. */
export type SnapshotId = ManifestId;

/** Counts for people; nothing depends on them. */
export interface SnapshotStats {
  readonly totalSizeBytes: number;
  readonly files: number;
  readonly cachedFiles: number;
  readonly dirs: number;
  readonly errors: number;
}

export interface SnapshotFacts {
  readonly source: SnapshotSource;
  readonly description: string;
  readonly startTime: Nanoseconds;
  readonly endTime: Nanoseconds;
  readonly stats: SnapshotStats;
  /** Why it is not whole (`checkpoint`, `canceled`, …); absent when it is. */
  readonly incomplete?: string | undefined;
  readonly rootEntry: DirEntry;
  /** All tags; those that users set through a command line begin with `tag:`. */
  readonly tags: Labels;
  /** Names of what keeps the snapshot from expiring. */
  readonly pins: readonly string[];
}

export interface Snapshot extends SnapshotFacts {
  readonly id: SnapshotId;
  /** When the manifest was written last. */
  readonly modified: Nanoseconds;
}

/** In manifests, a user's tag `key` is called `tag:key`. */
export const userTagPrefix = 'tag:';

const json: v.GenericSchema<unknown, JsonValue> = v.any();
const schema = goObject({
  source: goObject({ host: goString, userName: goString, path: goString }),
  description: goString,
  startTime: goTimeOrEpoch,
  endTime: goTimeOrEpoch,
  stats: v.optional(
    goObject({
      totalSize: goInteger,
      fileCount: goInteger,
      cachedFiles: goInteger,
      dirCount: goInteger,
      errorCount: goInteger,
    }),
  ),
  incomplete: goString,
  rootEntry: json,
  tags: v.optional(v.pipe(anyObject, v.record(v.string(), v.string())), {}),
  pins: v.optional(v.array(v.string()), []),
});

/** @throws {RepositoryError} `corrupt` */
export function decodeSnapshot({ id, modified, data }: ManifestEntry): Snapshot {
  const { source, stats, rootEntry, incomplete, ...rest } = decodeJson(schema, data, `snapshot ${id}`);
  return {
    ...rest,
    id,
    modified,
    source,
    stats: {
      totalSizeBytes: stats?.totalSize ?? 0,
      files: stats?.fileCount ?? 0,
      cachedFiles: stats?.cachedFiles ?? 0,
      dirs: stats?.dirCount ?? 0,
      errors: stats?.errorCount ?? 0,
    },
    incomplete: incomplete || undefined,
    rootEntry: decodeDirEntry(rootEntry),
  };
}

/** What `ManifestSet.put` takes. The id stands nowhere in it, as with Kopia. */
export function encodeSnapshot(snapshot: SnapshotFacts): { readonly labels: Labels; readonly data: JsonValue } {
  const { source, stats, tags, pins } = snapshot;
  const own = sourceLabels(source);
  const clash = Object.keys(tags).find((key) => key in own);
  assert(clash === undefined, `a snapshot cannot have a tag ${clash}`);
  assert(source.host !== '' && source.userName !== '' && source.path !== '', 'a source has three parts');
  const data = jsonObject({
    id: '',
    source: jsonObject({ host: source.host, userName: source.userName, path: source.path }),
    description: snapshot.description,
    startTime: formatGoTime(snapshot.startTime),
    endTime: formatGoTime(snapshot.endTime),
    stats: encodeStats(stats),
    incomplete: snapshot.incomplete,
    rootEntry: encodeDirEntry(snapshot.rootEntry),
    tags: Object.keys(tags).length === 0 ? undefined : jsonObject(sorted(tags)),
    pins: pins.length === 0 ? undefined : [...pins],
  });
  return { labels: { ...own, ...tags }, data };
}

function encodeStats(stats: SnapshotStats): JsonValue {
  return jsonObject({
    totalSize: stats.totalSizeBytes,
    excludedTotalSize: 0,
    fileCount: stats.files,
    cachedFiles: stats.cachedFiles,
    nonCachedFiles: stats.files,
    dirCount: stats.dirs,
    excludedFileCount: 0,
    excludedDirCount: 0,
    ignoredErrorCount: 0,
    errorCount: stats.errors,
  });
}

/** The manifest's data with other pins and everything else as it was, for `ManifestSet.put` under the same id. */
export function withPins(
  entry: ManifestEntry,
  pins: readonly string[],
): { readonly labels: Labels; readonly data: JsonValue } {
  const data = parseJson(entry.data);
  if (!isJsonObject(data)) throw new RepositoryError('corrupt', `snapshot ${entry.id}: malformed`);
  const others = Object.entries(data).filter(([key]) => key.toLowerCase() !== 'pins');
  const sortedPins = [...new Set(pins)].toSorted();
  const all = sortedPins.length === 0 ? others : [...others, ['pins', sortedPins] as const];
  return { labels: entry.labels, data: jsonObject(Object.fromEntries(all)) };
}

export interface SnapshotListing {
  /** By start time, oldest first. */
  readonly snapshots: readonly Snapshot[];
  /** Manifests that cannot be understood. One of them must not hide the others. */
  readonly damaged: readonly { readonly id: SnapshotId; readonly error: RepositoryError }[];
}

/** The snapshots of one source, of all that have these parts, or of all. */
export function listSnapshots(set: ManifestSet, source: Partial<SnapshotSource> = {}): SnapshotListing {
  const snapshots: Snapshot[] = [];
  const damaged: { id: SnapshotId; error: RepositoryError }[] = [];
  for (const entry of set.find(sourceLabels(source))) {
    try {
      snapshots.push(decodeSnapshot(entry));
    } catch (error) {
      if (!(error instanceof RepositoryError)) throw error;
      damaged.push({ id: entry.id, error });
    }
  }
  return { snapshots: snapshots.toSorted(byStart), damaged };
}

function byStart(a: Snapshot, b: Snapshot): number {
  if (a.startTime !== b.startTime) return a.startTime < b.startTime ? -1 : 1;
  if (a.endTime !== b.endTime) return a.endTime < b.endTime ? -1 : 1;
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

/**
 * The snapshot whose id begins with this text; among several, the only complete one.
 * @throws {RepositoryError} `snapshot-missing`, `snapshot-ambiguous`; `corrupt` when its manifest is damaged
 */
export function resolveSnapshot(set: ManifestSet, idOrBeginning: string): Snapshot {
  const wanted = idOrBeginning.toLowerCase();
  const entries = set.find({ type: 'snapshot' }).filter((entry) => wanted !== '' && entry.id.startsWith(wanted));
  const exact = entries.find((entry) => entry.id === wanted);
  if (exact !== undefined) return decodeSnapshot(exact);
  const whole = entries.length === 1 ? entries : entries.filter((entry) => !isIncomplete(entry));
  if (whole.length > 1) {
    const some = whole.slice(0, 3).map((entry) => entry.id);
    throw new RepositoryError(
      'snapshot-ambiguous',
      `${idOrBeginning} is the beginning of several snapshots: ${some.join(', ')}`,
    );
  }
  if (whole.length === 0) throw new RepositoryError('snapshot-missing', `no snapshot ${idOrBeginning}`);
  return decodeSnapshot(whole[0]!);
}

function isIncomplete(entry: ManifestEntry): boolean {
  return /"incomplete":"[^"]/i.test(entry.data) && decodeSnapshot(entry).incomplete !== undefined;
}

function sorted(tags: Labels): Record<string, string> {
  return Object.fromEntries(Object.entries(tags).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
