/**
 * Authenticated encryption of contents and of named blobs (Kopia `repo/encryption`). Every piece has its own key,
 * `HMAC-SHA256(S, iv)`, where `iv` comes from the content's hash, and a random nonce; `iv` is also authenticated, so
 * bytes that answer to another name do not open. Sealed = nonce (12) ‖ ciphertext ‖ tag (16).
 */
import assert from 'node:assert/strict';
import { createHmac, randomFillSync } from 'node:crypto';

import { aead, aeadKeyBytes, aeadNonceBytes, aeadTagBytes, type AeadName } from '../../kernel/aead.ts';
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
export const sealOverheadBytes: number = aeadNonceBytes + aeadTagBytes;

/** Belongs to one thread. */
export interface Cipher {
  /** Nonce, ciphertext and tag, in this order; the ciphertext is fresh. For callers that gather. */
  seal(iv: Uint8Array, plain: Uint8Array): readonly Uint8Array[];
  /**
   * Writes the sealed form at `offset`. `plain` may lie in `out` at `offset + 12`, where its ciphertext goes.
   * @returns the bytes written, `plain.length + 28`.
   */
  sealInto(iv: Uint8Array, plain: Uint8Array, out: Uint8Array, offset: number): number;
  /** @throws {RepositoryError} `corrupt` when the bytes do not authenticate. */
  open(iv: Uint8Array, sealed: Uint8Array): Uint8Array;
  /**
   * Writes the plaintext at the beginning of `out`, zeros when it throws.
   * @returns its length, `sealed.length - 28`.
   * @throws {RepositoryError} `corrupt`
   */
  openInto(iv: Uint8Array, sealed: Uint8Array, out: Uint8Array): number;
}

/** Purpose as the salt and no info: unlike every other derived key (Kopia `encryption.go`). */
const contentSecretSalt = Buffer.from('encryption');

export function cipher(name: EncryptionName, masterKey: Uint8Array): Cipher {
  const secret = hkdf({ key: masterKey, salt: contentSecretSalt, info: '', lengthBytes: aeadKeyBytes });
  const implementation = aead(ciphers[name]);
  const nonces = new NoncePool();
  const keyOf = (iv: Uint8Array): Buffer => createHmac('sha256', secret).update(iv).digest();

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
    assert(out.length >= plainBytes);
    const nonce = sealed.subarray(0, aeadNonceBytes);
    const body = sealed.subarray(aeadNonceBytes);
    if (!implementation.open({ key: keyOf(iv), nonce, additional: iv }, body, out)) {
      throw new RepositoryError('corrupt', `${sealed.length} sealed bytes do not authenticate`);
    }
    return plainBytes;
  };

  return {
    sealInto,
    openInto,
    seal: (iv, plain) => {
      const sealed = new Uint8Array(plain.length + sealOverheadBytes);
      const end = sealInto(iv, plain, sealed, 0);
      const tag = end - aeadTagBytes;
      return [sealed.subarray(0, aeadNonceBytes), sealed.subarray(aeadNonceBytes, tag), sealed.subarray(tag)];
    },
    open: (iv, sealed) => {
      const plain = new Uint8Array(Math.max(0, sealed.length - sealOverheadBytes));
      openInto(iv, sealed, plain);
      return plain;
    },
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
