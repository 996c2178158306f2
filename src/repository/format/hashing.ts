/**
 * The keyed hashes that name contents (Kopia `repo/hashing`). A name of a hash fixes function, key use and length;
 * the 128 bit names are the leading half of the 256 bit ones, except BLAKE2S-128, whose digest length parameter is 16.
 * BLAKE3 comes from a native package (10 GB/s); everything else from OpenSSL.
 */
import { createHmac } from 'node:crypto';

import { Blake2BHasher, Blake2BParam, Blake3Hasher } from '@napi-rs/blake-hash';

import { createMac, mac, macBytes } from '../../kernel/mac.ts';
import { RepositoryError } from '../repository-error.ts';

const lengths = {
  'BLAKE2B-256-128': 16,
  'BLAKE2B-256': 32,
  'BLAKE2S-128': 16,
  'BLAKE2S-256': 32,
  'BLAKE3-256': 32,
  'BLAKE3-256-128': 16,
  'HMAC-SHA256': 32,
  'HMAC-SHA256-128': 16,
  'HMAC-SHA224': 28,
  'HMAC-SHA3-224': 28,
  'HMAC-SHA3-256': 32,
} as const;

export type HashName = keyof typeof lengths;

export const hashNames: readonly HashName[] = Object.keys(lengths) as HashName[];

export function isHashName(name: string): name is HashName {
  return Object.hasOwn(lengths, name);
}

export function hashLengthBytes(name: HashName): number {
  return lengths[name];
}

/** Hashes at once. The result is fresh and owned by the caller; `data` may be a view of shared memory. */
export type Hash = (data: Uint8Array) => Buffer;

/**
 * One hash function of a repository, keyed with the format's `secret`. Not to be shared between threads.
 * @throws {RepositoryError} `unsupported` when the secret's length does not fit the function.
 */
export function hasher(name: HashName, secret: Uint8Array): Hash {
  const lengthBytes = lengths[name];
  switch (name) {
    case 'BLAKE2B-256-128':
    case 'BLAKE2B-256':
      return blake2b(name, secret, lengthBytes);
    case 'BLAKE2S-128':
    case 'BLAKE2S-256':
      requireSecret(name, secret, { minBytes: 1, maxBytes: 32 });
      return (data) => createMac('blake2smac', secret, { outputLength: lengthBytes }).update(data).final();
    case 'BLAKE3-256':
    case 'BLAKE3-256-128':
      return blake3(secret, lengthBytes);
    case 'HMAC-SHA256':
    case 'HMAC-SHA256-128':
      return hmac('sha256', secret, lengthBytes);
    case 'HMAC-SHA224':
      return hmac('sha224', secret, lengthBytes);
    case 'HMAC-SHA3-224':
      return hmac('sha3-224', secret, lengthBytes);
    case 'HMAC-SHA3-256':
      return hmac('sha3-256', secret, lengthBytes);
  }
}

/** From here on the native package's wide registers are worth its objects: 1.7 times as fast at 1 MiB, half as fast at 1 KiB. */
const wideBytesMin = 16 * 1024;

/** The digest length parameter is 32 also for the 128 bit name: that one is cut. */
function blake2b(name: HashName, secret: Uint8Array, lengthBytes: number): Hash {
  requireSecret(name, secret, { minBytes: 0, maxBytes: 64 });
  const parameters = new Blake2BParam();
  parameters.hashLength(macBytes);
  parameters.key(asBuffer(secret));
  const wide: Hash = (data) =>
    Blake2BHasher.withParams(parameters).update(asBuffer(data)).digestBuffer().subarray(0, lengthBytes);
  // OpenSSL has no MAC without a key; Kopia's API could make such repositories.
  if (secret.length === 0) return wide;
  const narrow = mac('blake2b-256', secret);
  return (data) => {
    if (data.length >= wideBytesMin) return wide(data);
    const out = Buffer.allocUnsafe(macBytes);
    narrow.into(data, out);
    return out.subarray(0, lengthBytes);
  };
}

const blake3Context = 'kopia blake3 derived key v1';

function blake3(secret: Uint8Array, lengthBytes: number): Hash {
  const key =
    secret.length >= 32
      ? asBuffer(secret).subarray(0, 32)
      : Blake3Hasher.deriveKey(blake3Context, secret).subarray(0, 32);
  // One state, reset for each use: making one costs 6 us more.
  const state = Blake3Hasher.newKeyed(key);
  return (data) => {
    state.reset();
    state.update(data);
    return state.digestBuffer().subarray(0, lengthBytes);
  };
}

function hmac(digest: string, secret: Uint8Array, lengthBytes: number): Hash {
  return (data) => createHmac(digest, secret).update(data).digest().subarray(0, lengthBytes);
}

function requireSecret(
  name: HashName,
  secret: Uint8Array,
  { minBytes, maxBytes }: { readonly minBytes: number; readonly maxBytes: number },
): void {
  if (secret.length >= minBytes && secret.length <= maxBytes) return;
  throw new RepositoryError('unsupported', `${name} with a secret of ${secret.length} bytes`);
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
