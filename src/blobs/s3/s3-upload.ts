/**
 * A blob on its way into a bucket, piece by piece. A PUT wants to know its length at once, so the pieces are held until
 * `commit` and go out in one request; packs are 20 MiB to 120 MiB long. What grows beyond 100 MiB travels in parts of
 * at least 32 MiB from then on, and memory stays bounded.
 *
 * What is durable when: nothing before `commit` has resolved. Parts that nobody completed are invisible and cost space, so
 * disposing tells the server to drop them; after a kill they stay until a rule of the bucket removes them
 * (`AbortIncompleteMultipartUpload`).
 */
import { createHash, type Hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { BlobError, type BlobUpload } from '../blob-store.ts';
import { MultipartUpload } from './multipart-upload.ts';
import type { S3Client } from './s3-client.ts';
import type { ObjectBytes, S3Objects } from './s3-objects.ts';
import { type BlockPool, HeldBytes } from './upload-blocks.ts';

/** Held at most, and the longest blob that goes out in one request. */
export const singlePutBytesMax: number = 100 * 1024 * 1024;
const partBytes = 32 * 1024 * 1024;

export interface S3UploadParts {
  readonly client: S3Client;
  readonly objects: S3Objects;
  readonly blocks: BlockPool;
  /** Stores all of it in one request. */
  readonly put: (bytes: ObjectBytes) => Promise<void>;
}

export interface S3UploadOptions {
  readonly key: string;
  readonly doing: string;
  /** Whether the SHA-256 of the bytes will be asked for. */
  readonly hashed: boolean;
  /** What locks the object, as of now, and its storage class. */
  readonly objectHeaders: () => Readonly<Record<string, string>> | undefined;
  readonly signal: AbortSignal;
}

export class S3Upload implements BlobUpload {
  readonly #parts: S3UploadParts;
  readonly #options: S3UploadOptions;
  readonly #held: HeldBytes;
  #lengthBytes = 0;
  #crc32 = 0;
  #hash: Hash | undefined;
  #sha256: string | undefined;
  #multipart: MultipartUpload | undefined;
  #committed = false;
  #dropped = false;

  constructor(parts: S3UploadParts, options: S3UploadOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#held = new HeldBytes(parts.blocks);
    if (options.hashed) this.#hash = createHash('sha256');
  }

  /** Sends first what there is too much of, so that a failure has appended nothing. */
  async write(piece: Uint8Array): Promise<void> {
    const { signal, doing } = this.#options;
    signal.throwIfAborted();
    if (this.#dropped || this.#committed || this.#sha256 !== undefined) {
      throw new BlobError('blob-unavailable', `${doing}: the upload has ended`);
    }
    const long = this.#multipart !== undefined || this.#lengthBytes + piece.length > singlePutBytesMax;
    if (long && this.#held.lengthBytes >= partBytes) await this.#sendParts({ last: false });
    // The caller fills its buffer again, and this one must last until the commit.
    this.#held.append(piece);
    this.#lengthBytes += piece.length;
    if (this.#multipart !== undefined) return;
    this.#crc32 = crc32(piece, this.#crc32);
    this.#hash?.update(piece);
  }

  async commit(): Promise<void> {
    const { signal, doing } = this.#options;
    if (this.#committed) return;
    signal.throwIfAborted();
    if (this.#dropped) throw new BlobError('blob-unavailable', `${doing}: the upload was dropped`);
    if (this.#multipart === undefined) {
      this.#sha256 ??= this.#hash?.digest('hex');
      const bytes = {
        pieces: this.#held.first(this.#lengthBytes),
        lengthBytes: this.#lengthBytes,
        crc32: this.#crc32,
        sha256: this.#sha256,
      };
      await this.#parts.put(bytes);
    } else {
      await this.#sendParts({ last: true });
      await this.#multipart.complete(this.#lengthBytes);
    }
    this.#committed = true;
    this.#held.drop(this.#lengthBytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#dropped = true;
    this.#held.drop(this.#lengthBytes);
    if (!this.#committed) await this.#multipart?.abort();
  }

  /** Sends whole parts of what is held, and the rest too when it is the last: no other may be below 5 MiB. */
  async #sendParts({ last }: { readonly last: boolean }): Promise<void> {
    this.#multipart ??= await MultipartUpload.begin(this.#parts, this.#options);
    while (this.#held.lengthBytes >= partBytes || (last && this.#held.lengthBytes > 0)) {
      await this.#multipart.send(this.#held.first(partBytes));
      this.#held.drop(partBytes);
    }
  }
}
