/**
 * The records of a pool, as JSON files (docs/formats/pool.md). A record is small and replaced as a whole
 * (`std/atomic-write.ts`); fields that this version does not know are kept. The size of a volume or snapshot stands in
 * no record: it is the size of its image, so that no two files can disagree about it.
 */
import { readFileSync, statSync } from 'node:fs';
import * as v from 'valibot';
import { isErrno } from '../std/atomic-write.ts';
import { isUtcTime } from '../std/go-time.ts';
import { checkSchema } from '../std/schema.ts';
import { PoolError } from './pool-error.ts';

/** A record that needs more than this is none of ours. */
const recordBytesMax = 1024 * 1024;

export interface PoolRecord {
  readonly format: 'dray-pool';
  readonly version: 1;
  /** 32 hexadecimal digits, as every id here; never used twice. */
  readonly id: string;
  /** ISO 8601 in UTC, as every time here. */
  readonly created: string;
}

/** The snapshot that something was made from; names are those of then. */
export interface PoolOrigin {
  readonly volume: string;
  readonly volumeId: string;
  readonly snapshot: string;
  readonly snapshotId: string;
}

export interface VolumeRecord {
  readonly version: 1;
  readonly id: string;
  readonly created: string;
  /** The logical sector of the device that it is attached as; fixed, because file systems and partition tables stand on it. */
  readonly sectorBytes: SectorBytes;
  /** Id of the snapshot that the present content descends from: the last one taken, or the one reverted to. */
  readonly parent?: string | undefined;
  readonly clonedFrom?: PoolOrigin | undefined;
  /**
   * Of a clone: id of the volume that the first clone of its line was made of. Those of one family share blocks. Of a volume
   * whose record was lost and made again: what its id was.
   */
  readonly family?: string | undefined;
  /** Id of the repository's snapshot that it was restored from. */
  readonly restoredFrom?: string | undefined;
}

/** A later step that will need a snapshot: the base of the next increment in a repository. */
export interface Need {
  readonly kind: 'backup';
  /** The repository's own id, hexadecimal. */
  readonly repository: string;
  /** Where it was, for people. */
  readonly url: string;
  readonly since: string;
}

/** For messages: `backup to /backups`. */
export function describeNeed({ kind, url }: Pick<Need, 'kind' | 'url'>): string {
  return `${kind} to ${url}`;
}

export interface SnapshotRecord {
  readonly version: 1;
  readonly id: string;
  readonly volumeId: string;
  readonly created: string;
  readonly sectorBytes: SectorBytes;
  /** When its image was last changed, to the nanosecond; at any other time somebody else has changed it (`image-changed.ts`). */
  readonly imageChanged: string;
  readonly parent?: string | undefined;
  readonly consistency: Consistency;
  /** Why it is no better. */
  readonly reason?: string | undefined;
  /** `backup`: a backup made it, and removes it. */
  readonly madeBy: 'user' | 'backup';
  /** The snapshots that were taken at the same instant. */
  readonly group?: { readonly id: string; readonly volumes: readonly string[] } | undefined;
  readonly needs: readonly Need[];
}

export type SectorBytes = 512 | 4096;
/** `frozen`: its file system stood still. `unattached`: nothing could write. `crash`: as after a loss of power. */
export type Consistency = 'frozen' | 'unattached' | 'crash';

const id = v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/));
const name = v.pipe(v.string(), v.minLength(1), v.maxLength(63));
const time = v.pipe(v.string(), v.check(isUtcTime, 'expected a time such as 2026-01-31T12:00:00Z'));
const sectorBytes = v.picklist([512, 4096]);
const version = v.literal(1);

export const poolRecordSchema: v.GenericSchema<unknown, PoolRecord> = v.looseObject({
  format: v.literal('dray-pool'),
  version,
  id,
  created: time,
});

const origin = v.looseObject({ volume: name, volumeId: id, snapshot: name, snapshotId: id });

export const volumeRecordSchema: v.GenericSchema<unknown, VolumeRecord> = v.looseObject({
  version,
  id,
  created: time,
  sectorBytes,
  parent: v.optional(id),
  clonedFrom: v.optional(origin),
  family: v.optional(id),
  restoredFrom: v.optional(v.pipe(v.string(), v.maxLength(128))),
});

const need = v.looseObject({
  kind: v.literal('backup'),
  repository: v.pipe(v.string(), v.regex(/^[0-9a-f]{2,128}$/)),
  url: v.pipe(v.string(), v.maxLength(4096)),
  since: time,
});

/** What a snapshot is not clean for may name a place that somebody else has chosen: longer ones are cut. */
export const reasonCharactersMax = 1000;

export const snapshotRecordSchema: v.GenericSchema<unknown, SnapshotRecord> = v.looseObject({
  version,
  id,
  volumeId: id,
  created: time,
  sectorBytes,
  imageChanged: time,
  parent: v.optional(id),
  consistency: v.picklist(['frozen', 'unattached', 'crash']),
  reason: v.optional(v.pipe(v.string(), v.maxLength(reasonCharactersMax))),
  madeBy: v.picklist(['user', 'backup']),
  group: v.optional(v.looseObject({ id, volumes: v.pipe(v.array(name), v.maxLength(1000)) })),
  needs: v.pipe(v.array(need), v.maxLength(1000)),
});

/**
 * Synchronous: a list of a thousand snapshots is a thousand tiny reads from the page cache.
 * @returns undefined when there is no such file
 * @throws {PoolError} `pool-damaged`, `pool-version`, `pool-io`
 */
export function readRecord<T>(path: string, schema: v.GenericSchema<unknown, T>): T | undefined {
  let text: string;
  try {
    if (statSync(path).size > recordBytesMax) throw new PoolError('pool-damaged', `${path} is too long for a record`);
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return undefined;
    if (error instanceof PoolError) throw error;
    throw new PoolError('pool-io', `read ${path}`, { cause: error });
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new PoolError('pool-damaged', `${path} is not JSON`, { cause: error });
  }
  const checked = checkSchema(schema, json);
  if (checked.wrong === undefined) return checked.value;
  const { version } = (json ?? {}) as { readonly version?: unknown };
  if (typeof version === 'number' && version > 1) {
    throw new PoolError('pool-version', `${path} is of version ${version}`);
  }
  throw new PoolError('pool-damaged', `${path}: ${checked.wrong}`);
}

export function encodeRecord(record: PoolRecord | VolumeRecord | SnapshotRecord): Uint8Array {
  return Buffer.from(`${JSON.stringify(record, undefined, 2)}\n`);
}
