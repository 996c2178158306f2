/** What a compaction of an index without epochs says of itself (Kopia `compactionLogEntry`): JSON in an `m` blob. */
import * as v from 'valibot';

import { blobId, BlobError, type BlobId, type BlobMetadata } from '../../blobs/blob-store.ts';
import { formatGoTime, nanosecondsFromMs } from '../../std/go-time.ts';
import { JsonError, jsonObject, parseJson, type JsonObject, type JsonValue } from '../../std/lossless-json.ts';
import { checkSchema, plainObject } from '../../std/schema.ts';
import { stringifyJson } from '../../std/write-json.ts';
import { foldJson } from '../format/fold-json.ts';
import { RepositoryError } from '../repository-error.ts';

export interface CompactionLog {
  readonly inputs: readonly BlobId[];
  readonly outputs: readonly BlobId[];
}

const blobs = v.nullish(v.array(plainObject({ id: v.string() })));
const schema = plainObject({ inputmetadata: blobs, outputmetadata: blobs });

/** @throws {RepositoryError} `corrupt` */
export function decodeCompactionLog(name: BlobId, bytes: Uint8Array): CompactionLog {
  const checked = checkSchema(schema, foldJson(jsonOf(name, bytes)));
  if (checked.wrong !== undefined) {
    throw new RepositoryError('corrupt', `compaction log ${name} is malformed: ${checked.wrong}`);
  }
  const { inputmetadata, outputmetadata } = checked.value;
  return { inputs: idsOf(name, inputmetadata), outputs: idsOf(name, outputmetadata) };
}

/** As Kopia writes it; lengths and times are told, and read by nobody. */
export function encodeCompactionLog({
  inputs,
  outputs,
}: {
  readonly inputs: readonly BlobMetadata[];
  readonly outputs: readonly BlobMetadata[];
}): Uint8Array {
  const log = jsonObject({ inputMetadata: inputs.map(metadataJson), outputMetadata: outputs.map(metadataJson) });
  return Buffer.from(stringifyJson(log));
}

function metadataJson({ id, lengthBytes, timestampMs }: BlobMetadata): JsonObject {
  return jsonObject({ id, length: lengthBytes, timestamp: formatGoTime(nanosecondsFromMs(timestampMs)) });
}

function idsOf(name: BlobId, list: v.InferOutput<typeof blobs>): BlobId[] {
  try {
    return (list ?? []).map(({ id }) => blobId(id));
  } catch (cause) {
    if (!(cause instanceof BlobError)) throw cause;
    throw new RepositoryError('corrupt', `compaction log ${name} names no blob`, { cause });
  }
}

function jsonOf(name: BlobId, bytes: Uint8Array): JsonValue {
  try {
    return parseJson(Buffer.from(bytes).toString());
  } catch (cause) {
    if (!(cause instanceof JsonError)) throw cause;
    throw new RepositoryError('corrupt', `compaction log ${name} is not JSON`, { cause });
  }
}
