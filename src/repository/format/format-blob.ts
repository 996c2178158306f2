/**
 * The blob `kopia.repository` (Kopia `format_blob.go`): a readable JSON shell with the unique id and the way from
 * password to key, around the encrypted configuration. Rewriting replaces one member and keeps everything else as it
 * was, known or not.
 */
import { blobId, type BlobId } from '../../blobs/blob-store.ts';
import {
  isJsonObject,
  jsonObject,
  JsonError,
  parseJson,
  type JsonObject,
  type JsonValue,
} from '../../std/lossless-json.ts';
import { stringifyJson } from '../../std/write-json.ts';
import { RepositoryError } from '../repository-error.ts';
import { foldJson } from './fold-json.ts';

export const formatBlobId: BlobId = blobId('kopia.repository');
const envelopeName = 'AES256_GCM';
const configMember = 'encryptedBlockFormat';

export interface FormatBlob {
  /** As it was read, with members that this program does not know. */
  readonly raw: JsonObject;
  readonly bytes: Uint8Array;
  readonly uniqueId: Uint8Array;
  readonly keyDerivation: string;
  /** The configuration in its envelope. */
  readonly sealedConfig: Uint8Array;
}

/** @throws {RepositoryError} `repository-foreign` when this is no such blob; `unsupported` for another envelope. */
export function decodeFormatBlob(bytes: Uint8Array): FormatBlob {
  const raw = shell(bytes);
  const members = foldJson(raw) as Readonly<Record<string, unknown>>;
  const uniqueId = bytesOf(members, 'uniqueID');
  const keyDerivation = textOf(members, 'keyAlgo');
  const encryption = textOf(members, 'encryption');
  const sealedConfig = bytesOf(members, configMember);
  if (encryption !== envelopeName) {
    throw new RepositoryError('unsupported', `format blob encryption ${JSON.stringify(encryption.slice(0, 64))}`);
  }
  return { raw, bytes, uniqueId, keyDerivation, sealedConfig };
}

function textOf(members: Readonly<Record<string, unknown>>, name: string): string {
  const value = members[name.toLowerCase()];
  if (typeof value === 'string') return value;
  throw new RepositoryError('repository-foreign', `${formatBlobId} is no format blob: ${name} is no text`);
}

function bytesOf(members: Readonly<Record<string, unknown>>, name: string): Uint8Array {
  const text = textOf(members, name);
  const bytes = Buffer.from(text, 'base64');
  // What Node skips or forgives, Go refuses.
  if (bytes.toString('base64') === text) return new Uint8Array(bytes);
  throw new RepositoryError('repository-foreign', `${formatBlobId} is no format blob: ${name} is not base64`);
}

/** The blob of a new repository. */
export function encodeFormatBlob({
  uniqueId,
  keyDerivation,
  sealedConfig,
}: Omit<FormatBlob, 'raw' | 'bytes'>): Uint8Array {
  return shellBytes({
    tool: 'drayage',
    buildVersion: '',
    buildInfo: '',
    uniqueID: Buffer.from(uniqueId).toString('base64'),
    keyAlgo: keyDerivation,
    encryption: envelopeName,
    [configMember]: Buffer.from(sealedConfig).toString('base64'),
  });
}

/** The same blob around another configuration. */
export function withSealedConfig({ raw }: FormatBlob, sealedConfig: Uint8Array): Uint8Array {
  const others = Object.entries(raw).filter(([key]) => key.toLowerCase() !== configMember.toLowerCase());
  const members = jsonObject(Object.fromEntries(others));
  return shellBytes({ ...members, [configMember]: Buffer.from(sealedConfig).toString('base64') });
}

function shell(bytes: Uint8Array): JsonObject {
  let value: JsonValue;
  try {
    value = parseJson(Buffer.from(bytes).toString());
  } catch (cause) {
    if (!(cause instanceof JsonError)) throw cause;
    throw new RepositoryError('repository-foreign', `${formatBlobId} is not JSON`, { cause });
  }
  if (!isJsonObject(value)) throw new RepositoryError('repository-foreign', `${formatBlobId} is no JSON object`);
  return value;
}

function shellBytes(value: JsonObject): Uint8Array {
  return Buffer.from(`${stringifyJson(value, { indent: 2 })}\n`);
}
