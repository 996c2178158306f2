/** The blob `kopia.blobcfg`: whether stored blobs are locked against deletion (Kopia `blobcfg_blob.go`). */
import * as v from 'valibot';

import type { BlobRetention, BlobStore } from '../../blobs/blob-store.ts';
import { LockStore, type LockOptions } from '../../blobs/lock.ts';
import { JsonError, jsonObject, parseJson, type JsonValue } from '../../std/lossless-json.ts';
import { checkSchema, natural, plainObject } from '../../std/schema.ts';
import { stringifyJson } from '../../std/write-json.ts';
import { RepositoryError } from '../repository-error.ts';
import { foldJson } from './fold-json.ts';
import { blobcfgId } from './read-format.ts';

/** What is locked where anything is (Kopia `locking_storage.go`): all but sessions, logs and the schedule of maintenance. */
export const lockedPrefixes: readonly string[] = ['n', 'x', 'kopia.repository', 'kopia.blobcfg', 'p', 'q'];

/** Kopia takes no shorter one. */
export const retentionMsMin: number = 24 * 60 * 60 * 1000;

/** For stores that are opened elsewhere; undefined when nothing is locked. */
export function lockOptions(retention: BlobRetention | undefined): LockOptions | undefined {
  return retention && { prefixes: lockedPrefixes, retention };
}

/** The same store, which locks what this repository wants locked. */
export function lockingStore(store: BlobStore, retention: BlobRetention | undefined): BlobStore {
  const options = lockOptions(retention);
  return options === undefined ? store : new LockStore(store, options);
}

/**
 * The JSON to encrypt. The mode is the provider's word, kept as text: who stores knows what it can do.
 * @throws {RepositoryError} `unsupported` for a period that Kopia would not take
 */
export function encodeBlobcfg(retention: BlobRetention | undefined): Uint8Array {
  if (retention === undefined) return Buffer.from('{}');
  const { mode, periodMs } = retention;
  if (mode === '' || !(periodMs >= retentionMsMin)) {
    throw new RepositoryError('unsupported', 'a retention without a mode, or of less than a day');
  }
  const json = { retentionMode: mode, retentionPeriod: BigInt(Math.round(periodMs)) * 1_000_000n };
  return Buffer.from(stringifyJson(jsonObject(json)));
}

/** From 105 days on no safe integer. */
const nanoseconds = v.union([natural, v.pipe(v.bigint(), v.minValue(0n), v.maxValue(2n ** 63n - 1n))]);
const schema = plainObject({
  retentionmode: v.optional(v.string(), ''),
  retentionperiod: v.optional(v.pipe(nanoseconds, v.transform(Number)), 0),
});

/**
 * Parses the decrypted JSON.
 * @returns undefined when nothing is locked.
 * @throws {RepositoryError} `corrupt`
 */
export function decodeBlobcfg(plain: Uint8Array): BlobRetention | undefined {
  const checked = checkSchema(schema, foldJson(blobcfgJson(plain)));
  if (checked.wrong !== undefined) throw new RepositoryError('corrupt', `malformed ${blobcfgId}: ${checked.wrong}`);
  const { retentionmode: mode, retentionperiod: periodNs } = checked.value;
  return mode === '' || periodNs === 0 ? undefined : { mode, periodMs: Math.round(periodNs / 1e6) };
}

function blobcfgJson(plain: Uint8Array): JsonValue {
  try {
    return parseJson(Buffer.from(plain).toString());
  } catch (cause) {
    if (!(cause instanceof JsonError)) throw cause;
    throw new RepositoryError('corrupt', `malformed ${blobcfgId}`, { cause });
  }
}
