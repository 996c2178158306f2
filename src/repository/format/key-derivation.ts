/**
 * Keys from the password and from each other (Kopia `internal/crypto`). The password's key opens the two format blobs
 * and nothing else; all other keys come from the random `masterKey` and `secret` inside, so that a password can change.
 */
import { hkdfSync, pbkdf2, scrypt, type ScryptOptions } from 'node:crypto';
import { promisify } from 'node:util';

import { RepositoryError } from '../repository-error.ts';

const pbkdf2Async = promisify(pbkdf2);
const scryptAsync = promisify<string, Uint8Array, number, ScryptOptions, Buffer>(scrypt);

export type KeyDerivationName = 'scrypt-65536-8-1' | 'pbkdf2-sha256-600000';

export const formatKeyBytes = 32;
const saltBytesMin = 16;
/** scrypt with these parameters needs 64 MiB and a little. */
const scryptOptions = { N: 65536, r: 8, p: 1, maxmem: 128 * 1024 * 1024 };

/**
 * The 32 byte key of the format blobs. Takes some 0.2 s of a thread pool thread.
 * @throws {RepositoryError} `unsupported` for an unknown derivation, `corrupt` for a salt under 16 bytes.
 */
export async function deriveFormatKey(
  password: string,
  { keyDerivation, uniqueId }: { readonly keyDerivation: string; readonly uniqueId: Uint8Array },
): Promise<Uint8Array> {
  if (uniqueId.length < saltBytesMin)
    throw new RepositoryError('corrupt', 'the unique id of the repository is too short');
  const salt = uniqueId;
  if (keyDerivation === 'scrypt-65536-8-1') return await scryptAsync(password, salt, formatKeyBytes, scryptOptions);
  if (keyDerivation === 'pbkdf2-sha256-600000') {
    return await pbkdf2Async(password, salt, 600_000, formatKeyBytes, 'sha256');
  }
  throw new RepositoryError('unsupported', `key derivation ${JSON.stringify(keyDerivation.slice(0, 64))}`);
}

export interface HkdfInput {
  readonly key: Uint8Array;
  readonly salt: Uint8Array;
  readonly info: string;
  readonly lengthBytes: number;
}

/** HKDF-SHA256 (RFC 5869), extract and expand. */
export function hkdf({ key, salt, info, lengthBytes }: HkdfInput): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', key, salt, info, lengthBytes));
}

/** A key for one purpose: salt is the repository's unique id, info the purpose. */
export function purposeKey(
  key: Uint8Array,
  {
    uniqueId,
    purpose,
    lengthBytes,
  }: { readonly uniqueId: Uint8Array; readonly purpose: string; readonly lengthBytes: number },
): Uint8Array {
  return hkdf({ key, salt: uniqueId, info: purpose, lengthBytes });
}
