/**
 * Authenticated encryption of contents and of named blobs (Kopia `repo/encryption`). Every piece has its own key,
 * `HMAC-SHA256(S, iv)`, where `iv` comes from the content's hash, and a random nonce; `iv` is also authenticated, so
 * bytes that answer to another name do not open. Sealed = nonce (12) ‖ ciphertext ‖ tag (16).
 */
import assert from 'node:assert/strict';
import { randomFillSync } from 'node:crypto';

import { aead, aeadKeyBytes, aeadNonceBytes, aeadTagBytes, type AeadName } from '../../kernel/aead.ts';
import { mac } from '../../kernel/mac.ts';
import { RepositoryError } from '../repository-error.ts';
import { hkdf } from './key-derivation.ts';

export type EncryptionName = 'AES256-GCM-HMAC-SHA256' | 'CHACHA20-POLY1305-HMAC-SHA256';

const ciphers: Readonly<Record<EncryptionName, AeadName>> = {
  'AES256-GCM-HMAC-SHA256': 'aes-256-gcm',
  'CHACHA20-POLY1305-HMAC-SHA256': 'chacha20-poly1305',
};

export function isEncryptionName(name: string): name is EncryptionName {
  return Object.hasOwn(ciphers, name);
}

/** Bytes that sealing adds: nonce and tag. */
const sealOverheadBytes = aeadNonceBytes + aeadTagBytes;

/** Belongs to one thread. */
export interface Cipher {
  /** What sealing makes of so many bytes. */
  sealedBytes(plainBytes: number): number;
  /**
   * Writes the sealed form at `offset`. `plain` may lie in `out` at `offset + 12`, where its ciphertext goes.
   * @returns the bytes written, `sealedBytes(plain.length)`.
   */
  sealInto(iv: Uint8Array, plain: Uint8Array, out: Uint8Array, offset: number): number;
  /**
   * Writes the plaintext, never longer than `sealed`, at the beginning of `out`: zeros when it throws.
   * @returns its length.
   * @throws {RepositoryError} `corrupt` when the bytes do not authenticate, or `out` is too small for what they hold.
   */
  openInto(iv: Uint8Array, sealed: Uint8Array, out: Uint8Array): number;
  /** False when error correction is needed to open it, or has lost some of what it would need. Authenticates nothing. */
  isWhole(sealed: Uint8Array): boolean;
}

/** Purpose as the salt and no info: unlike every other derived key (Kopia `encryption.go`). */
const contentSecretSalt = Buffer.from('encryption');

export function cipher(name: EncryptionName, masterKey: Uint8Array): Cipher {
  const secret = hkdf({ key: masterKey, salt: contentSecretSalt, info: '', lengthBytes: aeadKeyBytes });
  const implementation = aead(ciphers[name]);
  const nonces = new NoncePool();
  const keys = mac('hmac-sha256', secret);
  const key = new Uint8Array(aeadKeyBytes);
  /** Valid until the next call. */
  const keyOf = (iv: Uint8Array): Uint8Array => {
    keys.into(iv, key);
    return key;
  };

  const sealInto = (iv: Uint8Array, plain: Uint8Array, out: Uint8Array, offset: number): number => {
    const sealedBytes = plain.length + sealOverheadBytes;
    assert(offset >= 0 && out.length - offset >= sealedBytes);
    const nonce = nonces.take();
    out.set(nonce, offset);
    const body = out.subarray(offset + aeadNonceBytes, offset + sealedBytes);
    implementation.seal({ key: keyOf(iv), nonce, additional: iv }, plain, body);
    return sealedBytes;
  };

  const openInto = (iv: Uint8Array, sealed: Uint8Array, out: Uint8Array): number => {
    const plainBytes = sealed.length - sealOverheadBytes;
    if (plainBytes < 0) throw new RepositoryError('corrupt', `sealed bytes are too short: ${sealed.length}`);
    if (plainBytes > out.length)
      throw new RepositoryError('corrupt', `sealed are ${plainBytes} bytes of ${out.length}`);
    const nonce = sealed.subarray(0, aeadNonceBytes);
    const body = sealed.subarray(aeadNonceBytes);
    if (!implementation.open({ key: keyOf(iv), nonce, additional: iv }, body, out)) {
      throw new RepositoryError('corrupt', `${sealed.length} sealed bytes do not authenticate`);
    }
    return plainBytes;
  };

  return {
    sealedBytes: (plainBytes) => plainBytes + sealOverheadBytes,
    sealInto,
    openInto,
    isWhole: () => true,
  };
}

const nonceBatch = 512;

/** Random nonces in batches (one system call each); every byte is handed out once. */
class NoncePool {
  readonly #bytes = new Uint8Array(nonceBatch * aeadNonceBytes);
  #at = this.#bytes.length;

  /** Valid until the pool is refilled, so at least until the next call. */
  take(): Uint8Array {
    if (this.#at === this.#bytes.length) {
      randomFillSync(this.#bytes);
      this.#at = 0;
    }
    this.#at += aeadNonceBytes;
    return this.#bytes.subarray(this.#at - aeadNonceBytes, this.#at);
  }
}
