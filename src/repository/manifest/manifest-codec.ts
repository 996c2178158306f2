/**
 * `m` contents: gzip of `{"entries":[…]}` and a newline (Kopia `repo/manifest/serialized.go`). What an entry says
 * stays as JSON text until someone asks, and is carried over without a change: a policy with 9223372036854775807 in
 * it would be refused by Go once a double has held that number.
 */
import { gunzipSync, gzipSync } from 'node:zlib';

import { formatGoTime, parseGoTime } from '../../std/go-time.ts';
import type { Nanoseconds } from '../../std/go-time.ts';
import { bareObject, isJsonObject, JsonError, parseJson } from '../../std/lossless-json.ts';
import type { JsonValue } from '../../std/lossless-json.ts';
import { RepositoryError } from '../repository-error.ts';
import { goJson, jsonField } from './json-field.ts';

declare const brand: unique symbol;

/** Name of a manifest: 32 hexadecimal digits where Kopia or we made it, any short text elsewhere. */
export type ManifestId = string & { readonly [brand]: 'ManifestId' };

export type Labels = Readonly<Record<string, string>>;

export interface ManifestEntry {
  readonly id: ManifestId;
  readonly labels: Labels;
  /** Of two entries with one id the later counts. */
  readonly modified: Nanoseconds;
  /** True for a tombstone. */
  readonly deleted: boolean;
  /** JSON text; `null` in a tombstone. */
  readonly data: string;
}

/** A repository of 200,000 snapshots, compacted, fits. */
const decodedBytesMax = 256 * 1024 * 1024;
const idLengthMax = 200;

/** @throws {RepositoryError} `corrupt`: a manifest content is never read in part. */
export function decodeManifestContent(bytes: Uint8Array): ManifestEntry[] {
  const top = parse(unzip(bytes));
  if (!isJsonObject(top)) throw corrupt('is no object');
  // Kopia's decoder reads nothing but the entries and loses its way at any other member.
  const foreign = Object.keys(top).find((key) => key.toLowerCase() !== 'entries');
  if (foreign !== undefined) throw corrupt(`has an unknown member ${JSON.stringify(foreign.slice(0, 40))}`);
  const entries = jsonField(top, 'entries') ?? [];
  if (!Array.isArray(entries)) throw corrupt('has no list of entries');
  return entries.map(decodeEntry);
}

export function encodeManifestContent(entries: readonly ManifestEntry[]): Uint8Array {
  return gzipSync(`{"entries":[${entries.map(encodeEntry).join(',')}]}\n`);
}

/** The text of what a manifest says, character for character as Kopia writes it. */
export function manifestData(value: JsonValue): string {
  return goJson(value).trimEnd();
}

function decodeEntry(entry: JsonValue): ManifestEntry {
  if (!isJsonObject(entry)) throw corrupt('has an entry that is no object');
  const id = jsonField(entry, 'id');
  const modified = jsonField(entry, 'modified');
  const time = typeof modified === 'string' ? parseGoTime(modified) : undefined;
  const deleted = jsonField(entry, 'deleted') ?? false;
  if (typeof id !== 'string' || id === '' || id.length > idLengthMax) throw corrupt('has an entry without id');
  if (time === undefined) throw corrupt(`entry ${id} has no time`);
  if (typeof deleted !== 'boolean') throw corrupt(`entry ${id}: "deleted" is no boolean`);
  const data = manifestData(jsonField(entry, 'data') ?? null);
  return { id: id as ManifestId, labels: decodeLabels(jsonField(entry, 'labels'), id), modified: time, deleted, data };
}

function decodeLabels(value: JsonValue | undefined, id: string): Labels {
  const labels = bareObject<string>();
  if (value === undefined || value === null) return labels;
  if (!isJsonObject(value)) throw corrupt(`entry ${id} has malformed labels`);
  for (const [key, label] of Object.entries(value)) {
    if (typeof label !== 'string') throw corrupt(`entry ${id}: label ${JSON.stringify(key.slice(0, 40))} is no text`);
    labels[key] = label;
  }
  return labels;
}

function encodeEntry({ id, labels, modified, deleted, data }: ManifestEntry): string {
  const keys = Object.keys(labels).toSorted();
  const members = keys.map((key) => `${JSON.stringify(key)}:${JSON.stringify(labels[key])}`);
  const labelText = deleted && keys.length === 0 ? 'null' : `{${members.join(',')}}`;
  const tombstone = deleted ? '"deleted":true,' : '';
  const time = formatGoTime(modified);
  return `{"id":${JSON.stringify(id)},"labels":${labelText},"modified":"${time}",${tombstone}"data":${data}}`;
}

function unzip(bytes: Uint8Array): string {
  try {
    return gunzipSync(bytes, { maxOutputLength: decodedBytesMax }).toString('utf8');
  } catch (cause) {
    throw new RepositoryError('corrupt', 'manifest content: cannot be unzipped', { cause });
  }
}

function parse(text: string): JsonValue {
  try {
    return parseJson(text);
  } catch (cause) {
    if (!(cause instanceof JsonError)) throw cause;
    throw new RepositoryError('corrupt', 'manifest content: malformed JSON', { cause });
  }
}

function corrupt(what: string): RepositoryError {
  return new RepositoryError('corrupt', `manifest content: ${what}`);
}
