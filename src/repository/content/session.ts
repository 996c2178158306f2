/**
 * Writing sessions (Kopia `sessions.go`). A session's id ends the names of its packs and index blobs; its marker blob,
 * written before the first pack and removed after the index, keeps maintenance from collecting packs that no index
 * names yet. A malformed blob whose name begins with `s` stops Kopia's maintenance, so nothing else is stored there.
 */
import * as v from 'valibot';

import type { BlobId } from '../../blobs/blob-store.ts';
import { JsonError, parseJson, type JsonValue } from '../../std/lossless-json.ts';
import { checkSchema, plainObject } from '../../std/schema.ts';
import { stringifyJson } from '../../std/write-json.ts';
import { randomHex, type Rng } from '../../std/rng.ts';
import { foldJson } from '../format/fold-json.ts';
import { RepositoryError } from '../repository-error.ts';
import type { ContentCodec, NamedBlob } from './content-codec.ts';

const idEpochMs = Date.UTC(2000, 0, 1);
const idEpochStepMs = 30 * 24 * 60 * 60 * 1000;
const markerPrefix = 's';

/** `s`, 16 random hexadecimal digits, and the number of 30 day steps since 2000 in hexadecimal. */
export function newSessionId({ rng, nowMs }: { readonly rng: Rng; readonly nowMs: number }): string {
  const step = Math.max(0, Math.floor((nowMs - idEpochMs) / idEpochStepMs));
  return markerPrefix + randomHex(rng, 8) + step.toString(16);
}

/** The session that wrote a blob: the first part after a `-` that begins with `s`. */
export function sessionIdOf(id: BlobId): string | undefined {
  return id.split('-').find((part, position) => position > 0 && part.startsWith(markerPrefix));
}

export interface SessionMarker {
  readonly sessionId: string;
  /** Milliseconds since the Unix epoch. */
  readonly startTimeMs: number;
  /** As of when the session was alive. */
  readonly checkpointTimeMs: number;
  readonly userName: string;
  readonly host: string;
}

export interface NewSessionMarker {
  readonly sessionId: string;
  readonly nowMs: number;
  /** Absent: the session starts now. */
  readonly startTimeMs?: number | undefined;
  readonly userName: string;
  readonly host: string;
}

/** The marker blob of a session, to be stored before its first pack. */
export function encodeSessionMarker(codec: ContentCodec, marker: NewSessionMarker): NamedBlob {
  const json = stringifyJson({
    id: marker.sessionId,
    startTime: new Date(marker.startTimeMs ?? marker.nowMs).toISOString(),
    checkpointTime: new Date(marker.nowMs).toISOString(),
    username: marker.userName,
    hostname: marker.host,
  });
  return codec.sealNamed(markerPrefix, marker.sessionId, Buffer.from(json));
}

const time = v.pipe(
  v.string(),
  v.transform((text) => Date.parse(text)),
  v.number('not a time'),
);

const markerSchema = plainObject({
  id: v.string(),
  starttime: time,
  checkpointtime: time,
  username: v.optional(v.string(), ''),
  hostname: v.optional(v.string(), ''),
});

/** @throws {RepositoryError} `corrupt` */
export function decodeSessionMarker(codec: ContentCodec, id: BlobId, sealed: Uint8Array): SessionMarker {
  const plain = codec.openNamed(id, sealed);
  const checked = checkSchema(markerSchema, foldJson(markerJson(id, plain)));
  if (checked.wrong !== undefined) throw new RepositoryError('corrupt', `session marker ${id}: ${checked.wrong}`);
  const { id: sessionId, starttime, checkpointtime, username, hostname } = checked.value;
  return { sessionId, startTimeMs: starttime, checkpointTimeMs: checkpointtime, userName: username, host: hostname };
}

function markerJson(id: BlobId, plain: Uint8Array): JsonValue {
  try {
    return parseJson(Buffer.from(plain).toString());
  } catch (cause) {
    if (!(cause instanceof JsonError)) throw cause;
    throw new RepositoryError('corrupt', `session marker ${id}`, { cause });
  }
}
