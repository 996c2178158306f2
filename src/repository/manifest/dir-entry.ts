/** One entry of a directory, and the summary of one (Kopia `snapshot/manifest.go`, `fs/entry.go`). */
import * as v from 'valibot';

import { formatGoTime } from '../../std/go-time.ts';
import type { Nanoseconds } from '../../std/go-time.ts';
import { jsonObject } from '../../std/lossless-json.ts';
import type { JsonObject, JsonValue } from '../../std/lossless-json.ts';
import { integer } from '../../std/schema.ts';
import { objectId } from '../object/object-id.ts';
import type { ObjectId } from '../object/object-id.ts';
import { checkJson, goInteger, goObject, goString, goTimeOrEpoch } from './json-field.ts';

export interface DirEntry {
  /** Any text of the repository's author, possibly a whole path: never a path to write to. Absent: empty. */
  readonly name: string;
  /** `f` file, `d` directory, `s` symlink. */
  readonly type: string;
  /** Go's FileMode bits: 0o777 permissions; setuid 1 << 23, setgid 1 << 22, sticky 1 << 20. */
  readonly mode: number;
  /** Bytes of a file; 0 for directories. */
  readonly sizeBytes: number;
  readonly modified: Nanoseconds;
  readonly uid: number;
  readonly gid: number;
  readonly object: ObjectId;
  /** Of directories, and of a root that is a file. */
  readonly summary?: DirectorySummary | undefined;
}

export interface DirectorySummary {
  readonly sizeBytes: number;
  readonly files: number;
  readonly symlinks: number;
  /** The directory itself and all below. */
  readonly dirs: number;
  readonly maxTime: Nanoseconds;
  readonly incomplete?: string | undefined;
  readonly failed: number;
}

const summarySchema = goObject({
  size: goInteger,
  files: goInteger,
  symlinks: goInteger,
  dirs: goInteger,
  maxTime: goTimeOrEpoch,
  incomplete: v.optional(v.string()),
  numFailed: goInteger,
});

const entrySchema = goObject({
  name: goString,
  type: goString,
  mode: v.optional(v.pipe(v.string(), v.transform(parseMode), integer), '0'),
  size: goInteger,
  mtime: goTimeOrEpoch,
  uid: goInteger,
  gid: goInteger,
  obj: v.string(),
  summ: v.optional(summarySchema),
});

/** @throws {RepositoryError} `corrupt` */
export function decodeDirEntry(value: JsonValue): DirEntry {
  const entry = checkJson(entrySchema, value, 'directory entry');
  return {
    name: entry.name,
    type: entry.type,
    mode: entry.mode,
    sizeBytes: entry.size,
    modified: entry.mtime,
    uid: entry.uid,
    gid: entry.gid,
    object: objectId(entry.obj),
    summary: entry.summ === undefined ? undefined : summaryOf(entry.summ),
  };
}

/** @throws {RepositoryError} `corrupt` */
export function decodeSummary(value: JsonValue): DirectorySummary {
  return summaryOf(checkJson(summarySchema, value, 'directory summary'));
}

/** Members in Go's order, what is zero left out where Go leaves it out. */
export function encodeDirEntry(entry: DirEntry): JsonObject {
  return jsonObject({
    name: entry.name || undefined,
    type: entry.type || undefined,
    mode: entry.mode === 0 ? undefined : `0${entry.mode.toString(8)}`,
    size: entry.sizeBytes || undefined,
    mtime: entry.modified === 0n ? undefined : formatGoTime(entry.modified),
    uid: entry.uid || undefined,
    gid: entry.gid || undefined,
    obj: entry.object,
    summ: entry.summary === undefined ? undefined : encodeSummary(entry.summary),
  });
}

export function encodeSummary(summary: DirectorySummary): JsonObject {
  return jsonObject({
    size: summary.sizeBytes,
    files: summary.files,
    symlinks: summary.symlinks,
    dirs: summary.dirs,
    maxTime: formatGoTime(summary.maxTime),
    incomplete: summary.incomplete || undefined,
    numFailed: summary.failed,
  });
}

function summaryOf(summary: v.InferOutput<typeof summarySchema>): DirectorySummary {
  return {
    sizeBytes: summary.size,
    files: summary.files,
    symlinks: summary.symlinks,
    dirs: summary.dirs,
    maxTime: summary.maxTime,
    incomplete: summary.incomplete || undefined,
    failed: summary.numFailed,
  };
}

/** As Go's `strconv.ParseInt(s, 0, 32)`: a leading zero means octal. NaN when it is no number. */
function parseMode(text: string): number {
  if (/^0[0-7]+$/.test(text)) return Number.parseInt(text, 8);
  return /^(0|[1-9][0-9]*|0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+)$/.test(text) ? Number(text) : Number.NaN;
}
