/**
 * Making, opening and re-keying a repository: what happens to the two format blobs in a store. The blob
 * `kopia.repository` makes a store a repository, so it is written last, and never replaced without having been read
 * just before. Kopia caches both blobs for up to 15 minutes.
 */
import type { BlobRetention, BlobStore } from '../../blobs/blob-store.ts';
import type { Clock } from '../../std/clock.ts';
import { hasCode } from '../../std/dray-error.ts';
import { JsonError, parseJson, type JsonValue } from '../../std/lossless-json.ts';
import { stringifyJson } from '../../std/write-json.ts';
import type { Rng } from '../../std/rng.ts';
import { RepositoryError } from '../repository-error.ts';
import { decodeBlobcfg, encodeBlobcfg, lockingStore } from './blobcfg.ts';
import { parseContentFormat, type ContentFormat } from './content-format.ts';
import { formatEnvelopeKey, openEnvelope, sealEnvelope } from './envelope.ts';
import { decodeFormatBlob, encodeFormatBlob, formatBlobId, withSealedConfig, type FormatBlob } from './format-blob.ts';
import { formatReplica } from './format-replica.ts';
import { deriveFormatKey, purposeKey } from './key-derivation.ts';
import { newFormatJson, type FormatOptions } from './new-format.ts';
import { blobcfgId, getIfPresent, readFormat } from './read-format.ts';

/** An open repository's settings and keys. Must never be printed. */
export interface OpenedFormat {
  readonly uniqueId: Uint8Array;
  readonly format: ContentFormat;
  /** From the password; opens the format blobs. */
  readonly formatKey: Uint8Array;
  /** A key for one purpose, independent of the password where the format allows to change it. */
  readonly deriveKey: (purpose: string, lengthBytes: number) => Uint8Array;
  /** What is stored under `lockedPrefixes` is locked so. */
  readonly retention?: BlobRetention | undefined;
}

const uniqueIdBytes = 32;

export interface FormatCreate {
  readonly password: string;
  readonly options?: FormatOptions | undefined;
  /** Lock what is stored; the store must be able to. */
  readonly retention?: BlobRetention | undefined;
  readonly rng: Rng;
  readonly signal: AbortSignal;
}

/**
 * Makes an empty store a repository. An abort or a crash in between may leave `kopia.blobcfg` alone, which this and
 * Kopia then refuse to overwrite: it must be deleted by hand.
 * @throws {RepositoryError} `repository-exists`, `repository-foreign` for a store that is not empty, `unsupported` for
 *   options outside the limits; {BlobError} `blob-no-lock`, …
 */
export async function createFormat(
  store: BlobStore,
  { password, options = {}, retention, rng, signal }: FormatCreate,
): Promise<OpenedFormat> {
  const config = newFormatJson(options, rng);
  const blobcfgPlain = encodeBlobcfg(retention);
  await requireEmpty(store, signal);
  const uniqueId = rng.bytes(uniqueIdBytes);
  const keyDerivation = options.keyDerivation ?? 'scrypt-65536-8-1';
  const formatKey = await deriveFormatKey(password, { keyDerivation, uniqueId });
  const key = formatEnvelopeKey(formatKey, uniqueId);
  const sealedConfig = sealEnvelope(key, Buffer.from(stringifyJson(config)), rng);
  const format = parseContentFormat(config, { nowMs: 0 });
  try {
    const locking = lockingStore(store, retention);
    const blobcfg = sealEnvelope(key, blobcfgPlain, rng);
    await locking.put(blobcfgId, blobcfg, { ifAbsent: true, signal });
    await locking.put(formatBlobId, encodeFormatBlob({ uniqueId, keyDerivation, sealedConfig }), {
      ifAbsent: true,
      signal,
    });
  } catch (cause) {
    if (!hasCode(cause, 'blob-exists')) throw cause;
    throw new RepositoryError('repository-exists', `another program makes a repository of ${store.description}`, {
      cause,
    });
  }
  return openedFormat({ uniqueId, formatKey, format, retention });
}

async function requireEmpty(store: BlobStore, signal: AbortSignal): Promise<void> {
  for await (const { id } of store.list(formatBlobId, { signal })) {
    if (id === formatBlobId) throw new RepositoryError('repository-exists', `${store.description} is a repository`);
  }
  for await (const { id } of store.list('', { signal })) {
    throw new RepositoryError('repository-foreign', `${store.description} is not empty: it holds ${id}`);
  }
}

export interface FormatOpen {
  readonly password: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * Reads the format blobs and opens them.
 * @throws {RepositoryError} `repository-missing`, `repository-foreign`, `repository-password`, `repository-version`,
 *   `repository-locked`, `unsupported`, `corrupt`; {BlobError}
 */
export async function openFormat(store: BlobStore, { password, ...rest }: FormatOpen): Promise<OpenedFormat> {
  const blob = await readFormat(store, rest);
  const [formatKey, sealedBlobcfg] = await Promise.all([
    deriveFormatKey(password, blob),
    getIfPresent(store, blobcfgId, rest),
  ]);
  return openFormatBlob({ blob, formatKey, sealedBlobcfg }, rest);
}

/** A format blob and the key that is to open it. */
export interface KeyedFormat {
  readonly blob: FormatBlob;
  readonly formatKey: Uint8Array;
  /** The other format blob, sealed: it can be read while the key is made. */
  readonly sealedBlobcfg: Uint8Array | undefined;
}

/** The part of `openFormat` that follows when the blob is read and its key made. @throws as that */
export function openFormatBlob(
  { blob, formatKey, sealedBlobcfg }: KeyedFormat,
  { clock }: { readonly clock: Clock },
): OpenedFormat {
  const parsed = parseContentFormat(configJson(openConfig(blob, formatKey)), { nowMs: clock.nowMs() });
  const format = parsed.version === 1 ? { ...parsed, packHead: formatReplica(blob.bytes) } : parsed;
  const blobcfg = sealedBlobcfg && openEnvelope(formatEnvelopeKey(formatKey, blob.uniqueId), sealedBlobcfg);
  if (sealedBlobcfg !== undefined && blobcfg === undefined) {
    const found = `${blobcfgId} has another password than ${formatBlobId}: a password change is under way or was cut off`;
    throw new RepositoryError('repository-password', found);
  }
  const retention = blobcfg && decodeBlobcfg(blobcfg);
  return openedFormat({ uniqueId: blob.uniqueId, formatKey, format, retention });
}

export interface PasswordChange {
  readonly password: string;
  readonly newPassword: string;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly signal: AbortSignal;
}

/**
 * Seals both format blobs for another password; keys and data stay as they are. The two blobs cannot change at once:
 * cut off in between, the store opens with neither password until the same call is made again.
 * @throws {RepositoryError} as `openFormat`; `unsupported` where the format binds keys to the password (Kopia <= 0.8);
 *   {BlobError}
 */
export async function changePassword(store: BlobStore, change: PasswordChange): Promise<void> {
  const { password, newPassword, clock, rng, signal } = change;
  const blob = await readFormat(store, { signal });
  const formatKey = await deriveFormatKey(password, blob);
  const format = parseContentFormat(configJson(openConfig(blob, formatKey)), { nowMs: clock.nowMs() });
  if (!format.enablePasswordChange) throw new RepositoryError('unsupported', 'a change of password in this repository');
  const newFormatKey = await deriveFormatKey(newPassword, blob);
  const oldKey = formatEnvelopeKey(formatKey, blob.uniqueId);
  const newKey = formatEnvelopeKey(newFormatKey, blob.uniqueId);

  const sealedBlobcfg = await getIfPresent(store, blobcfgId, { signal });
  // The new key is tried too: an earlier run of this change may have been cut off behind its first put.
  const blobcfg = sealedBlobcfg && (openEnvelope(oldKey, sealedBlobcfg) ?? openEnvelope(newKey, sealedBlobcfg));
  if (sealedBlobcfg !== undefined && blobcfg === undefined) {
    throw new RepositoryError('repository-password', `${blobcfgId} opens with neither the old nor the new password`);
  }
  // Deriving keys took time; another program may have rewritten the blob meanwhile.
  const latest = await readFormat(store, { signal });
  const latestConfig = openEnvelope(oldKey, latest.sealedConfig);
  if (latestConfig === undefined || Buffer.compare(latest.uniqueId, blob.uniqueId) !== 0) {
    throw new RepositoryError('repository-password', `${formatBlobId} was changed by another program`);
  }
  const after = withSealedConfig(latest, sealEnvelope(newKey, latestConfig, rng));
  requireSameConfig(decodeFormatBlob(after), newKey, latestConfig);
  const locking = lockingStore(store, blobcfg && decodeBlobcfg(blobcfg));
  if (blobcfg !== undefined) await locking.put(blobcfgId, sealEnvelope(newKey, blobcfg, rng), { signal });
  await locking.put(formatBlobId, after, { signal });
  await openFormat(store, { password: newPassword, clock, signal });
}

/** Checked before anything is written: a format blob that does not open loses the repository. */
function requireSameConfig(blob: FormatBlob, key: ReturnType<typeof formatEnvelopeKey>, config: Uint8Array): void {
  const opened = openEnvelope(key, blob.sealedConfig);
  if (opened !== undefined && Buffer.compare(opened, config) === 0) return;
  throw new RepositoryError('corrupt', `the new ${formatBlobId} does not open; nothing was written`);
}

interface OpenParts {
  readonly uniqueId: Uint8Array;
  readonly formatKey: Uint8Array;
  readonly format: ContentFormat;
  readonly retention: BlobRetention | undefined;
}

function openedFormat({ uniqueId, formatKey, format, retention }: OpenParts): OpenedFormat {
  // Repositories of Kopia 0.8 and older bind everything to the password (Kopia `repository.go` DeriveKey).
  const root = format.enablePasswordChange ? format.masterKey : formatKey;
  const deriveKey = (purpose: string, lengthBytes: number): Uint8Array =>
    purposeKey(root, { uniqueId, purpose, lengthBytes });
  return { uniqueId, formatKey, format, deriveKey, retention };
}

function openConfig(blob: FormatBlob, formatKey: Uint8Array): Uint8Array {
  const config = openEnvelope(formatEnvelopeKey(formatKey, blob.uniqueId), blob.sealedConfig);
  if (config !== undefined) return config;
  throw new RepositoryError('repository-password', 'the password does not open the repository');
}

function configJson(config: Uint8Array): JsonValue {
  try {
    return parseJson(Buffer.from(config).toString());
  } catch (cause) {
    if (!(cause instanceof JsonError)) throw cause;
    throw new RepositoryError('corrupt', "the repository's format is not JSON", { cause });
  }
}
