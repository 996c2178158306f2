/**
 * The blob `kopia.repository` (Kopia `format_blob.go`): a readable JSON shell with the unique id and the way from
 * password to key, around the encrypted configuration. Rewriting replaces one member and keeps everything else as it
 * was, known or not.
 */
import { z } from 'zod';

import { blobId, type BlobId } from '../../blobs/blob-store.ts';
import {
  isJsonObject,
  jsonObject,
  JsonError,
  parseJson,
  stringifyJson,
  type JsonObject,
  type JsonValue,
} from '../../std/lossless-json.ts';
import { RepositoryError } from '../repository-error.ts';
import { foldJson } from './fold-json.ts';

export const formatBlobId: BlobId = blobId('kopia.repository');
const envelopeName = 'AES256_GCM';
const configMember = 'encryptedBlockFormat';

export interface FormatBlob {
  /** As it was read, with members that this program does not know. */
  readonly raw: JsonObject;
  readonly uniqueId: Uint8Array;
  readonly keyDerivation: string;
  /** The configuration in its envelope. */
  readonly sealedConfig: Uint8Array;
}

const base64 = z.base64().transform((text) => new Uint8Array(Buffer.from(text, 'base64')));

const schema = z.object({
  uniqueid: base64,
  keyalgo: z.string(),
  encryption: z.string(),
  encryptedblockformat: base64,
});

/** @throws {RepositoryError} `repository-foreign` when this is no such blob; `unsupported` for another envelope. */
export function decodeFormatBlob(bytes: Uint8Array): FormatBlob {
  const raw = shell(bytes);
  const parsed = schema.safeParse(foldJson(raw));
  if (!parsed.success) {
    const where = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ');
    throw new RepositoryError('repository-foreign', `${formatBlobId} is no format blob: ${where}`);
  }
  const { uniqueid, keyalgo, encryption, encryptedblockformat } = parsed.data;
  if (encryption !== envelopeName) {
    throw new RepositoryError('unsupported', `format blob encryption ${JSON.stringify(encryption.slice(0, 64))}`);
  }
  return { raw, uniqueId: uniqueid, keyDerivation: keyalgo, sealedConfig: encryptedblockformat };
}

/** The blob of a new repository. */
export function encodeFormatBlob({ uniqueId, keyDerivation, sealedConfig }: Omit<FormatBlob, 'raw'>): Uint8Array {
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
