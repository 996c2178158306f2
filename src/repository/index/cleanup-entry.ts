/**
 * Which compaction logs will be removed, and when that was decided (Kopia `cleanupEntry`): JSON in an `l` blob. A log must
 * outlive the index blobs that it calls replaced, also in listings that show removed blobs for a while.
 */
import * as v from 'valibot';

import { blobId, isBlobName, type BlobId } from '../../blobs/blob-store.ts';
import { formatGoTime, type Nanoseconds } from '../../std/go-time.ts';
import { jsonObject } from '../../std/lossless-json.ts';
import { stringifyJson } from '../../std/write-json.ts';
import { decodeJson, goObject, goTime } from '../manifest/json-field.ts';

export interface CleanupEntry {
  readonly logs: readonly BlobId[];
  /** When the logs were found to be of no use, by the store's clock. */
  readonly scheduled: Nanoseconds;
}

/** Only compaction logs: whatever such a blob says, it has nothing else removed. */
const logName = v.pipe(
  v.string(),
  v.check((name) => name.startsWith('m') && isBlobName(name), 'no name of a compaction log'),
  v.transform((name) => blobId(name)),
);
const schema = goObject({ blobIDs: v.optional(v.array(logName), []), cleanupScheduleTime: goTime });

/** @throws {RepositoryError} `corrupt` */
export function decodeCleanupEntry(name: BlobId, bytes: Uint8Array): CleanupEntry {
  const { blobIDs, cleanupScheduleTime } = decodeJson(schema, Buffer.from(bytes).toString(), `cleanup entry ${name}`);
  return { logs: blobIDs, scheduled: cleanupScheduleTime };
}

/** As Kopia writes it. */
export function encodeCleanupEntry({ logs, scheduled }: CleanupEntry): Uint8Array {
  return Buffer.from(stringifyJson(jsonObject({ blobIDs: logs, cleanupScheduleTime: formatGoTime(scheduled) })));
}
