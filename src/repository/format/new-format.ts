/**
 * The configuration of a new repository (Kopia `repo/initialize.go`), checked against the limits that Kopia sets for
 * whoever chooses parameters (`content_format.go`, `epoch_manager.go`).
 */
import { jsonObject, type JsonValue } from '../../std/lossless-json.ts';
import type { Rng } from '../../std/rng.ts';
import { RepositoryError } from '../repository-error.ts';
import { defaultEpochs, defaultMaxPackSizeBytes, type EpochParameters } from './content-format.ts';
import type { EncryptionName } from './encryption.ts';
import type { HashName } from './hashing.ts';
import type { KeyDerivationName } from './key-derivation.ts';
import { isSplitterName } from './splitter-name.ts';

/** Everything is optional; absent is what the design wants of a new repository. */
export interface FormatOptions {
  readonly hash?: HashName | undefined;
  readonly encryption?: EncryptionName | undefined;
  readonly splitter?: string | undefined;
  readonly version?: 2 | 3 | undefined;
  readonly indexVersion?: 1 | 2 | undefined;
  readonly keyDerivation?: KeyDerivationName | undefined;
  readonly maxPackSizeBytes?: number | undefined;
  readonly epochs?: EpochParameters | undefined;
  /** How much larger everything may become so that damaged sectors can be mended; 0, for no error correction, unless told. */
  readonly eccOverheadPercent?: number | undefined;
}

const mib = 1024 * 1024;
const keyBytes = 32;

/**
 * Fresh keys and the chosen settings, as the JSON that the format blob encloses.
 * @throws {RepositoryError} `unsupported` for a setting outside Kopia's limits.
 */
export function newFormatJson(options: FormatOptions, rng: Rng): JsonValue {
  const splitter = options.splitter ?? 'DYNAMIC-4M-BUZHASH';
  if (!isSplitterName(splitter)) throw new RepositoryError('unsupported', `splitter ${JSON.stringify(splitter)}`);
  const maxPackSize = options.maxPackSizeBytes ?? defaultMaxPackSizeBytes;
  requireLimit(maxPackSize >= 10 * mib && maxPackSize <= 120 * mib, 'the maximum pack size is 10 to 120 MiB');
  const epochs = options.epochs ?? defaultEpochs;
  requireEpochs(epochs);
  const eccOverheadPercent = options.eccOverheadPercent ?? 0;
  requireLimit(eccOverheadPercent >= 0 && eccOverheadPercent <= 100, 'the overhead of error correction is 0 to 100 %');
  const format = jsonObject({
    hash: options.hash ?? 'BLAKE3-256',
    encryption: options.encryption ?? 'AES256-GCM-HMAC-SHA256',
    ...(eccOverheadPercent > 0 ? { ecc: 'REED-SOLOMON-CRC32', eccOverheadPercent } : {}),
    secret: randomKey(rng),
    masterKey: randomKey(rng),
    version: options.version ?? 3,
    maxPackSize,
    indexVersion: options.indexVersion ?? 2,
    epochParameters: epochJson(epochs),
    enablePasswordChange: true,
    splitter,
  });
  return jsonObject({ format });
}

function epochJson(epochs: EpochParameters): JsonValue {
  return jsonObject({
    Enabled: epochs.enabled,
    EpochRefreshFrequency: nanoseconds(epochs.refreshFrequencyMs),
    FullCheckpointFrequency: epochs.fullCheckpointFrequency,
    CleanupSafetyMargin: nanoseconds(epochs.cleanupSafetyMarginMs),
    MinEpochDuration: nanoseconds(epochs.minEpochDurationMs),
    EpochAdvanceOnCountThreshold: epochs.advanceOnCount,
    EpochAdvanceOnTotalSizeBytesThreshold: epochs.advanceOnTotalSizeBytes,
    DeleteParallelism: epochs.deleteParallelism,
  });
}

function requireEpochs(epochs: EpochParameters): void {
  const { refreshFrequencyMs, minEpochDurationMs, cleanupSafetyMarginMs } = epochs;
  requireLimit(epochs.enabled, 'epochs are needed');
  requireLimit(minEpochDurationMs >= 10 * 60_000, 'an epoch lasts 10 minutes or more');
  requireLimit(3 * refreshFrequencyMs <= minEpochDurationMs, 'an epoch lasts 3 refreshes or more');
  requireLimit(cleanupSafetyMarginMs >= 3 * refreshFrequencyMs, 'the cleanup margin is 3 refreshes or more');
  requireLimit(epochs.fullCheckpointFrequency > 0, 'the full checkpoint frequency is 1 or more');
  requireLimit(epochs.advanceOnCount >= 10, 'an epoch ends after 10 index blobs or more');
  requireLimit(epochs.advanceOnTotalSizeBytes >= mib, 'an epoch ends after 1 MiB of index blobs or more');
}

function requireLimit(condition: boolean, limit: string): void {
  if (!condition) throw new RepositoryError('unsupported', limit);
}

function nanoseconds(ms: number): number {
  return Math.round(ms * 1e6);
}

function randomKey(rng: Rng): string {
  return Buffer.from(rng.bytes(keyBytes)).toString('base64');
}
