/**
 * What every reader and writer of a repository must agree on: functions, keys, limits (Kopia `content_format.go`,
 * `repository_config.go`). It is parsed once from the decrypted format blob; settings that this program does not
 * handle are refused here, by name, so that nothing further down has to ask.
 */
import * as v from 'valibot';

import type { JsonValue } from '../../std/lossless-json.ts';
import { checkSchema, integer, natural, plainObject } from '../../std/schema.ts';
import { RepositoryError } from '../repository-error.ts';
import { isEncryptionName, type EncryptionName } from './encryption.ts';
import { foldJson } from './fold-json.ts';
import { isHashName, type HashName } from './hashing.ts';

/** When index blobs are grouped into epochs and merged. Durations are milliseconds. */
export interface EpochParameters {
  readonly enabled: boolean;
  readonly refreshFrequencyMs: number;
  readonly fullCheckpointFrequency: number;
  readonly cleanupSafetyMarginMs: number;
  readonly minEpochDurationMs: number;
  readonly advanceOnCount: number;
  readonly advanceOnTotalSizeBytes: number;
  readonly deleteParallelism: number;
}

/** Plain data that workers get by structured cloning. Holds keys: it must never be printed. */
export interface ContentFormat {
  readonly hash: HashName;
  readonly encryption: EncryptionName;
  /** Key of the content hash. */
  readonly secret: Uint8Array;
  /** Source of all encryption keys. */
  readonly masterKey: Uint8Array;
  readonly version: 1 | 2 | 3;
  readonly indexVersion: 1 | 2;
  /** A pack is closed when it reaches this size. */
  readonly maxPackSizeBytes: number;
  /** What every pack begins with: in version 1 a copy of the format blob, else nothing. */
  readonly packHead: Uint8Array;
  readonly splitter: string;
  readonly epochs: EpochParameters;
  readonly eccOverheadPercent: number;
  readonly enablePasswordChange: boolean;
}

const mib = 1024 * 1024;
const minuteMs = 60_000;

export const defaultMaxPackSizeBytes: number = 20 * mib;

export const defaultEpochs: EpochParameters = {
  enabled: true,
  refreshFrequencyMs: 20 * minuteMs,
  fullCheckpointFrequency: 7,
  cleanupSafetyMarginMs: 4 * 60 * minuteMs,
  minEpochDurationMs: 24 * 60 * minuteMs,
  advanceOnCount: 20,
  advanceOnTotalSizeBytes: 10 * mib,
  deleteParallelism: 4,
};

const count = v.optional(natural, 0);
const flag = v.optional(v.boolean(), false);
const text = v.optional(v.string(), '');
const nanoseconds = v.optional(
  v.pipe(
    natural,
    v.transform((ns) => ns / 1e6),
  ),
  0,
);
const bytes = v.optional(
  v.pipe(
    v.string(),
    v.base64('expected base64'),
    v.transform((encoded) => new Uint8Array(Buffer.from(encoded, 'base64'))),
  ),
  '',
);

const epochSchema = plainObject({
  enabled: flag,
  epochrefreshfrequency: nanoseconds,
  fullcheckpointfrequency: count,
  cleanupsafetymargin: nanoseconds,
  minepochduration: nanoseconds,
  epochadvanceoncountthreshold: count,
  epochadvanceontotalsizebytesthreshold: count,
  deleteparallelism: count,
});

const formatSchema = plainObject({
  hash: text,
  encryption: text,
  ecc: text,
  eccoverheadpercent: v.optional(integer, 0),
  secret: bytes,
  masterkey: bytes,
  version: v.optional(integer, 0),
  maxpacksize: count,
  indexversion: count,
  epochparameters: v.optional(epochSchema, {}),
  enablepasswordchange: flag,
  splitter: text,
  upgradelock: v.optional(
    plainObject({
      creationtime: text,
      advancenoticeduration: nanoseconds,
      iodraintimeout: nanoseconds,
      maxpermittedclockdrift: nanoseconds,
    }),
  ),
  requiredfeatures: v.optional(
    v.array(
      plainObject({
        feature: text,
        ifnotunderstood: v.optional(plainObject({ warn: flag }), {}),
      }),
    ),
    [],
  ),
});

const configSchema = plainObject({ format: formatSchema });

type RawFormat = v.InferOutput<typeof formatSchema>;

/**
 * Parses the decrypted JSON of the format blob.
 * @throws {RepositoryError} `corrupt` for another shape, `repository-version` for a newer format or an unknown required
 *   feature, `repository-locked` during an upgrade, `unsupported` for a setting that this program does not handle.
 */
export function parseContentFormat(config: JsonValue, { nowMs }: { readonly nowMs: number }): ContentFormat {
  const checked = checkSchema(configSchema, foldJson(config));
  if (checked.wrong !== undefined) {
    throw new RepositoryError('corrupt', `the repository's format is malformed: ${checked.wrong}`);
  }
  const raw = checked.value.format;
  requireVersion(raw);
  requireUnlocked(raw, nowMs);
  return toContentFormat(raw);
}

function requireVersion({ version, requiredfeatures }: RawFormat): void {
  if (version < 1 || version > 3) throw new RepositoryError('repository-version', `format version ${version}`);
  for (const { feature, ifnotunderstood } of requiredfeatures) {
    if (feature === 'index-v1' || feature === 'index-v2' || ifnotunderstood.warn) continue;
    throw new RepositoryError('repository-version', `the repository requires feature ${quoted(feature)}`);
  }
}

/** As Kopia's `IsLocked`: too short a notice locks at once, else from two drain times before the announced moment. */
function requireUnlocked({ upgradelock: lock }: RawFormat, nowMs: number): void {
  if (lock === undefined) return;
  const drainMs = lock.maxpermittedclockdrift + 2 * lock.iodraintimeout;
  const lockedFromMs = Date.parse(lock.creationtime) + lock.advancenoticeduration - drainMs;
  if (lock.advancenoticeduration >= drainMs && nowMs < lockedFromMs) return;
  throw new RepositoryError('repository-locked', 'another program is upgrading the repository');
}

function toContentFormat(raw: RawFormat): ContentFormat {
  const { hash, encryption, version } = raw;
  if (!isHashName(hash)) throw new RepositoryError('unsupported', `hash ${quoted(hash)}`);
  if (!isEncryptionName(encryption)) throw new RepositoryError('unsupported', `encryption ${quoted(encryption)}`);
  if (raw.indexversion > 2) throw new RepositoryError('repository-version', `index version ${raw.indexversion}`);
  if (raw.masterkey.length === 0) throw new RepositoryError('corrupt', 'the repository has no master key');
  const maxPackSizeBytes = raw.maxpacksize === 0 ? defaultMaxPackSizeBytes : raw.maxpacksize;
  // Offsets in a pack have 30 bits. Narrower limits bind whoever sets them, not whoever reads.
  if (maxPackSizeBytes >= 2 ** 30) throw new RepositoryError('corrupt', `maximum pack size ${maxPackSizeBytes}`);
  return {
    hash,
    encryption,
    secret: raw.secret,
    masterKey: raw.masterkey,
    version: version === 1 || version === 2 ? version : 3,
    indexVersion: raw.indexversion === 2 ? 2 : 1,
    maxPackSizeBytes,
    packHead: new Uint8Array(),
    splitter: raw.splitter === '' ? 'FIXED' : raw.splitter,
    epochs: toEpochParameters(raw.epochparameters),
    eccOverheadPercent: toEccOverheadPercent(raw),
    enablePasswordChange: raw.enablepasswordchange,
  };
}

/** Format version 1 knows no error correction, whatever it says. */
function toEccOverheadPercent({ version, ecc, eccoverheadpercent: percent, indexversion }: RawFormat): number {
  if (version === 1 || ecc === '' || percent <= 0) return 0;
  if (ecc !== 'REED-SOLOMON-CRC32') throw new RepositoryError('unsupported', `error correction ${quoted(ecc)}`);
  if (percent > 100) throw new RepositoryError('corrupt', `error correction with an overhead of ${percent} %`);
  // Such an index cannot tell how long a content is, and no kopia has written one: version 1 of the format, which alone is
  // made with it, has its error correction switched off at creation, and an index version is never lowered
  // (Kopia `initialize.go`, `ResolveFormatVersion`, `command_repository_set_parameters.go`).
  if (indexversion < 2) throw new RepositoryError('unsupported', 'error correction with index version 1');
  return percent;
}

function toEpochParameters(raw: RawFormat['epochparameters']): EpochParameters {
  return {
    enabled: raw.enabled,
    refreshFrequencyMs: raw.epochrefreshfrequency,
    fullCheckpointFrequency: raw.fullcheckpointfrequency,
    cleanupSafetyMarginMs: raw.cleanupsafetymargin,
    minEpochDurationMs: raw.minepochduration,
    advanceOnCount: raw.epochadvanceoncountthreshold,
    advanceOnTotalSizeBytes: raw.epochadvanceontotalsizebytesthreshold,
    deleteParallelism: raw.deleteparallelism,
  };
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 64));
}
