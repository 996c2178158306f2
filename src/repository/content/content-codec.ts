/**
 * From plaintext to sealed bytes and back: hash, compress, encrypt, and their inverses, for contents in packs and for
 * blobs that carry their hash in their name. A codec holds the keys of one repository and the state of native code,
 * so each thread makes its own from the `ContentFormat`. What the initialization vector is depends on the caller
 * (Kopia `blob_crypto.go`, `content_manager_lock_free.go`, `content_index_recovery.go`):
 *
 * | data                  | iv                                                        |
 * |-----------------------|-----------------------------------------------------------|
 * | content               | last 16 bytes of its hash                                 |
 * | index, session marker | last 16 bytes of the hash, read back from the blob's name |
 * | local index of a pack | the full hash, stored in the postamble                    |
 */
import { blobId, type BlobId } from '../../blobs/blob-store.ts';
import { protectedCipher } from '../ecc/protected-cipher.ts';
import { cipher, type Cipher } from '../format/encryption.ts';
import type { ContentFormat } from '../format/content-format.ts';
import { hasher, hashLengthBytes, type Hash } from '../format/hashing.ts';
import type { IndexEntry } from '../index/index-entry.ts';
import { RepositoryError } from '../repository-error.ts';
import { compressInto, compressionHeaderId, decompressInto, type CompressorName } from './compression.ts';
import { contentIdOf, hashOf, type ContentId, type ContentPrefix } from './content-id.ts';

const ivBytes = 16;
const nonceBytes = 12;
/** Lengths of contents are below this in every index version. */
const contentBytesMax = 2 ** 28;

/** What opening a content needs of its index entry. */
export type SealedContent = Pick<IndexEntry, 'contentId' | 'compression' | 'originalLength' | 'encryptionKeyId'>;

export interface OpenOptions {
  /** Hash the plaintext again and compare with the id. The cipher already binds the two; this also guards the writer. */
  readonly verify?: boolean | undefined;
}

export interface NamedBlob {
  readonly id: BlobId;
  readonly bytes: Uint8Array;
}

export class ContentCodec {
  readonly hashLengthBytes: number;
  readonly #hash: Hash;
  readonly #cipher: Cipher;
  /** Decrypted but still compressed bytes on their way; grows to the largest seen. */
  #scratch = new Uint8Array(0);

  constructor(format: ContentFormat) {
    this.#hash = hasher(format.hash, format.secret);
    const plain = cipher(format.encryption, format.masterKey);
    const { eccOverheadPercent } = format;
    this.#cipher = eccOverheadPercent > 0 ? protectedCipher(plain, eccOverheadPercent) : plain;
    this.hashLengthBytes = hashLengthBytes(format.hash);
  }

  /** The keyed hash of uncompressed bytes, fresh. */
  hash(data: Uint8Array): Buffer {
    return this.#hash(data);
  }

  idOf(data: Uint8Array, prefix: ContentPrefix): ContentId {
    return contentIdOf(prefix, this.#hash(data));
  }

  /** What a content of so many bytes takes in a pack, uncompressed. */
  sealedBytes(plainBytes: number): number {
    return this.#cipher.sealedBytes(plainBytes);
  }

  /**
   * Compresses, if that makes it smaller, and seals `plain` into `out` at `outOffset`, which must leave room for
   * `sealedBytes(plain.length)`. Nothing is kept of either.
   */
  sealInto(
    id: ContentId,
    plain: Uint8Array,
    compression: CompressorName,
    out: Uint8Array,
    outOffset: number,
  ): { readonly packedLength: number; readonly compression: number } {
    const iv = contentIv(id);
    // The compressed bytes are written where their ciphertext will stand, and encrypted in place.
    const body = out.subarray(outOffset + nonceBytes);
    const compressedLength = compressInto(compression, plain, body);
    if (compressedLength === undefined) {
      return { packedLength: this.#cipher.sealInto(iv, plain, out, outOffset), compression: 0 };
    }
    const packedLength = this.#cipher.sealInto(iv, body.subarray(0, compressedLength), out, outOffset);
    return { packedLength, compression: compressionHeaderId(compression) };
  }

  /**
   * The plaintext of a content in a fresh array of `originalLength` bytes.
   * @throws {RepositoryError} `corrupt`; `unsupported` for another compression algorithm or encryption key.
   */
  open(entry: SealedContent, sealed: Uint8Array, options: OpenOptions = {}): Uint8Array {
    checkEntry(entry, sealed);
    const plain = new Uint8Array(entry.originalLength);
    this.openInto(entry, sealed, plain, options);
    return plain;
  }

  /** As `open`, to the beginning of `out`, which holds at least `originalLength` bytes. Rubbish there if it throws. */
  openInto(entry: SealedContent, sealed: Uint8Array, out: Uint8Array, options: OpenOptions = {}): void {
    checkEntry(entry, sealed);
    const plain = out.subarray(0, entry.originalLength);
    try {
      this.#openInto(entry, sealed, plain);
    } catch (cause) {
      if (!(cause instanceof RepositoryError)) throw cause;
      throw new RepositoryError(cause.code, `open content ${entry.contentId}`, { cause });
    }
    if (options.verify === true && hashOf(entry.contentId).compare(this.#hash(plain)) !== 0) {
      throw new RepositoryError('corrupt', `content ${entry.contentId} has another hash than its id says`);
    }
  }

  /**
   * Seals a content once more as it is, compressed or not, for another pack: opened, its hash compared, and sealed into
   * `out`, which leaves room for `sealed.length` bytes and shares none with `sealed`. Damage that error correction
   * mends is mended. @returns bytes written, as many as `sealed` has
   * @throws {RepositoryError} as `open`
   */
  resealInto(entry: SealedContent, sealed: Uint8Array, out: Uint8Array, outOffset: number): number {
    this.open(entry, sealed, { verify: true });
    const iv = contentIv(entry.contentId);
    const payload = this.#scratchOf(sealed.length);
    const payloadBytes = this.#cipher.openInto(iv, sealed, payload);
    return this.#cipher.sealInto(iv, payload.subarray(0, payloadBytes), out, outOffset);
  }

  #openInto(entry: SealedContent, sealed: Uint8Array, plain: Uint8Array): void {
    const iv = contentIv(entry.contentId);
    const direct = entry.compression === 0;
    const payload = direct ? plain : this.#scratchOf(sealed.length);
    const payloadBytes = this.#cipher.openInto(iv, sealed, payload);
    const length = direct ? payloadBytes : decompressInto(entry.compression, payload.subarray(0, payloadBytes), plain);
    if (length !== plain.length) throw new RepositoryError('corrupt', `${length} bytes instead of ${plain.length}`);
  }

  /** False when a content can only be read by error correction, or has lost some of that. It opens, if it does, either way. */
  isWhole(sealed: Uint8Array): boolean {
    return this.#cipher.isWhole(sealed);
  }

  /** Seals a blob whose name carries its hash: `prefix + hex(hash) [+ '-' + suffix]`. */
  sealNamed(prefix: string, suffix: string, plain: Uint8Array): NamedBlob {
    const hash = this.#hash(plain);
    const id = blobId(prefix + hash.toString('hex') + (suffix === '' ? '' : `-${suffix}`));
    return { id, bytes: this.sealWith(hash.subarray(-ivBytes), plain) };
  }

  /** @throws {RepositoryError} `corrupt` when the name holds no hash or the bytes do not belong to it. */
  openNamed(id: BlobId, sealed: Uint8Array): Uint8Array {
    const iv = namedIv(id);
    try {
      return this.openWith(iv, sealed);
    } catch (cause) {
      if (!(cause instanceof RepositoryError)) throw cause;
      throw new RepositoryError(cause.code, `open blob ${id}`, { cause });
    }
  }

  /** Seals under an explicit initialization vector. */
  sealWith(iv: Uint8Array, plain: Uint8Array): Uint8Array {
    const sealed = new Uint8Array(this.#cipher.sealedBytes(plain.length));
    this.#cipher.sealInto(iv, plain, sealed, 0);
    return sealed;
  }

  /** @throws {RepositoryError} `corrupt` */
  openWith(iv: Uint8Array, sealed: Uint8Array): Uint8Array {
    const plain = new Uint8Array(sealed.length);
    return plain.subarray(0, this.#cipher.openInto(iv, sealed, plain));
  }

  #scratchOf(lengthBytes: number): Uint8Array {
    if (this.#scratch.length < lengthBytes) this.#scratch = new Uint8Array(lengthBytes);
    return this.#scratch.subarray(0, lengthBytes);
  }
}

function checkEntry({ contentId, originalLength, encryptionKeyId }: SealedContent, sealed: Uint8Array): void {
  if (encryptionKeyId !== 0) {
    throw new RepositoryError('unsupported', `content ${contentId} uses encryption key ${encryptionKeyId}`);
  }
  const lengthsFit = originalLength < contentBytesMax && sealed.length < contentBytesMax;
  if (!lengthsFit || !Number.isSafeInteger(originalLength) || originalLength < 0) {
    const lengths = `${sealed.length} stored, ${originalLength} original bytes`;
    throw new RepositoryError('corrupt', `content ${contentId} has impossible lengths: ${lengths}`);
  }
}

function contentIv(id: ContentId): Uint8Array {
  return hashOf(id).subarray(-ivBytes);
}

const namedIvPattern = /[0-9a-f]{32}$/;

/** The 32 hexadecimal digits before the first `-`, or at the end of a name without. */
function namedIv(id: BlobId): Uint8Array {
  const digits = namedIvPattern.exec(id.split('-', 1)[0] ?? '')?.[0];
  if (digits === undefined) throw new RepositoryError('corrupt', `blob name without a hash: ${id}`);
  return Buffer.from(digits, 'hex');
}
