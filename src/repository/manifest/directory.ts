/**
 * Directory objects (content prefix `k`), printed as Go prints them, so that equal directories are equal contents
 * whoever writes them (Kopia `snapshot/snapshotfs/dir_manifest_builder.go`).
 */
import * as v from 'valibot';

import { jsonObject } from '../../std/lossless-json.ts';
import type { JsonValue } from '../../std/lossless-json.ts';
import { RepositoryError } from '../repository-error.ts';
import { decodeDirEntry, decodeSummary, encodeDirEntry, encodeSummary } from './dir-entry.ts';
import type { DirectorySummary, DirEntry } from './dir-entry.ts';
import { decodeJson, goJson, goObject } from './json-field.ts';

export interface Directory {
  readonly entries: readonly DirEntry[];
  /** Velero's block mover writes none. */
  readonly summary?: DirectorySummary | undefined;
}

const json: v.GenericSchema<unknown, JsonValue> = v.any();
const schema = goObject({
  stream: v.literal('kopia:directory'),
  entries: v.optional(v.array(json), []),
  summary: v.optional(json),
});

/** @throws {RepositoryError} `corrupt` */
export function decodeDirectory(bytes: Uint8Array): Directory {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  const { entries, summary } = decodeJson(schema, text, 'directory');
  return {
    entries: entries.map(decodeDirEntry),
    summary: summary === undefined ? undefined : decodeSummary(summary),
  };
}

export function encodeDirectory({ entries, summary }: Directory): Uint8Array {
  const sorted = entries.toSorted(byKindAndName);
  const value = jsonObject({
    stream: 'kopia:directory',
    entries: sorted.length === 0 ? null : sorted.map(encodeDirEntry),
    summary: summary === undefined ? null : encodeSummary(summary),
  });
  return Buffer.from(goJson(value));
}

/** Directories first, each kind by the bytes of the name. */
function byKindAndName(a: DirEntry, b: DirEntry): number {
  if ((a.type === 'd') !== (b.type === 'd')) return a.type === 'd' ? -1 : 1;
  return Buffer.compare(Buffer.from(a.name), Buffer.from(b.name));
}

/** The only file of a directory. @throws {RepositoryError} `unsupported` when there is none or more than one */
export function onlyFile(directory: Directory, what: string): DirEntry {
  const files = directory.entries.filter((entry) => entry.type === 'f');
  if (files.length === 1 && directory.entries.length === 1) return files[0]!;
  throw new RepositoryError(
    'unsupported',
    `${what} has ${directory.entries.length} entries, not the image of one volume`,
  );
}
