/**
 * AES-256-GCM with a random nonce in front, as the blobs use it that are not named by their hash:
 * nonce (12) ‖ ciphertext ‖ tag (16). For the two format blobs, key and authenticated data both come from the format
 * key (Kopia `internal/crypto/aesgcm.go`).
 */
import { aead, aeadNonceBytes, aeadTagBytes } from '../../kernel/aead.ts';
import type { Rng } from '../../std/rng.ts';
import { purposeKey } from './key-derivation.ts';

export interface EnvelopeKey {
  /** 32 bytes. */
  readonly key: Uint8Array;
  readonly additional: Uint8Array;
}

/** The key of `kopia.repository` and `kopia.blobcfg`. */
export function formatEnvelopeKey(formatKey: Uint8Array, uniqueId: Uint8Array): EnvelopeKey {
  return {
    key: purposeKey(formatKey, { uniqueId, purpose: 'AES', lengthBytes: 32 }),
    additional: purposeKey(formatKey, { uniqueId, purpose: 'CHECKSUM', lengthBytes: 32 }),
  };
}

export function sealEnvelope({ key, additional }: EnvelopeKey, plain: Uint8Array, rng: Rng): Uint8Array {
  const sealed = new Uint8Array(aeadNonceBytes + plain.length + aeadTagBytes);
  const nonce = rng.bytes(aeadNonceBytes);
  sealed.set(nonce);
  aead('aes-256-gcm').seal({ key, nonce, additional }, plain, sealed.subarray(aeadNonceBytes));
  return sealed;
}

/** The plaintext; undefined when key and bytes do not belong together. */
export function openEnvelope({ key, additional }: EnvelopeKey, sealed: Uint8Array): Uint8Array | undefined {
  const plainBytes = sealed.length - aeadNonceBytes - aeadTagBytes;
  if (plainBytes < 0) return undefined;
  const plain = new Uint8Array(plainBytes);
  const nonce = sealed.subarray(0, aeadNonceBytes);
  const opened = aead('aes-256-gcm').open({ key, nonce, additional }, sealed.subarray(aeadNonceBytes), plain);
  return opened ? plain : undefined;
}
