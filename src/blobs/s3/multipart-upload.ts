/**
 * An object in parts (CreateMultipartUpload and what follows). Parts carry Content-MD5, which every server checks; the ETag
 * of the whole, the MD5 of the parts' MD5s and their number, tells whether a completion whose answer got lost was done.
 */
import { createHash } from 'node:crypto';
import { BlobError } from '../blob-store.ts';
import type { S3Client } from './s3-client.ts';
import { S3Failure } from './s3-failure.ts';
import type { S3Objects } from './s3-objects.ts';
import { parseXml, textOf, type XmlElement, xmlElement } from './s3-xml.ts';

/** Of S3 and of those who copy it. */
const partsMax = 10_000;

export interface MultipartParts {
  readonly client: S3Client;
  readonly objects: S3Objects;
}

export interface MultipartOptions {
  readonly key: string;
  readonly doing: string;
  readonly objectHeaders: () => Readonly<Record<string, string>> | undefined;
  readonly signal: AbortSignal;
}

interface SentPart {
  readonly etag: string;
  readonly md5: Buffer;
}

export class MultipartUpload {
  readonly #parts: MultipartParts;
  readonly #options: MultipartOptions;
  readonly #uploadId: string;
  readonly #sent: SentPart[] = [];

  private constructor(parts: MultipartParts, options: MultipartOptions, uploadId: string) {
    this.#parts = parts;
    this.#options = options;
    this.#uploadId = uploadId;
  }

  static async begin(parts: MultipartParts, options: MultipartOptions): Promise<MultipartUpload> {
    const { key, doing, signal } = options;
    const headers = { 'content-type': 'application/x-kopia', ...options.objectHeaders() };
    const request = { method: 'POST', key, query: { uploads: '' }, headers, body: { pieces: [] }, doing } as const;
    const { body } = await parts.client.send(request, { signal });
    const uploadId = textOf(resultOf(body, doing), 'UploadId');
    if (!uploadId) throw new BlobError('blob-unavailable', `${doing}: the server gives the upload no name`);
    return new MultipartUpload(parts, options, uploadId);
  }

  /** The next part. One that failed may be sent again. */
  async send(pieces: readonly Uint8Array[]): Promise<void> {
    const { key, doing, signal } = this.#options;
    const number = this.#sent.length + 1;
    if (number > partsMax) throw new BlobError('blob-no-space', `${doing}: it has more than ${partsMax} parts`);
    const hash = createHash('md5');
    for (const piece of pieces) hash.update(piece);
    const md5 = hash.digest();
    const query = { partNumber: String(number), uploadId: this.#uploadId };
    const headers = { 'content-md5': md5.toString('base64') };
    const request = { method: 'PUT', key, query, headers, body: { pieces }, doing } as const;
    const answer = await this.#parts.client.send(request, { signal });
    const etag = answer.headers['etag'];
    if (!etag) throw new BlobError('blob-unavailable', `${doing}: the answer does not name the part`);
    this.#sent.push({ etag, md5 });
  }

  /** May be repeated: what was completed before counts, even if nobody said so. */
  async complete(lengthBytes: number): Promise<void> {
    const { key, doing, signal } = this.#options;
    const parts = this.#sent.map(({ etag }, index) => {
      return `<Part>${xmlElement('PartNumber', String(index + 1))}${xmlElement('ETag', etag)}</Part>`;
    });
    const list = Buffer.from(`<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`);
    const query = { uploadId: this.#uploadId };
    const headers = { 'content-type': 'application/xml' };
    const request = { method: 'POST', key, query, headers, body: { pieces: [list] }, doing } as const;
    try {
      const { body } = await this.#parts.client.send(request, { signal });
      // The server begins to answer before it is done, so what looks like success may tell of a failure.
      resultOf(body, doing);
    } catch (error) {
      const open = error instanceof BlobError && error.code === 'blob-unavailable';
      if (signal.aborted || !open || !(await this.#isComplete(lengthBytes))) throw error;
    }
  }

  /** Has its own end, because it also runs when the caller has given up: requests that do not move fail. */
  async abort(): Promise<void> {
    const { key, doing } = this.#options;
    const request = { method: 'DELETE', key, query: { uploadId: this.#uploadId }, doing } as const;
    try {
      await this.#parts.client.send(request, { signal: new AbortController().signal });
    } catch (error) {
      // Gone already, or not to be reached: nothing of it is visible, and the bucket's rules remove it.
      if (!(error instanceof BlobError)) throw error;
    }
  }

  async #isComplete(lengthBytes: number): Promise<boolean> {
    const { key, doing, signal } = this.#options;
    const md5 = createHash('md5');
    for (const part of this.#sent) md5.update(part.md5);
    try {
      const head = await this.#parts.objects.head(key, { doing, signal });
      return head.lengthBytes === lengthBytes && head.etag === `${md5.digest('hex')}-${this.#sent.length}`;
    } catch (error) {
      if (error instanceof S3Failure) return false;
      throw error;
    }
  }
}

/** @throws {BlobError} `blob-unavailable` when the answer tells of a failure, or is none of S3's */
function resultOf(body: Uint8Array, doing: string): XmlElement {
  const root = parseXml(body);
  if (root.name !== 'Error') return root;
  throw new BlobError(
    'blob-unavailable',
    `${doing}: the server has a failure of its own (${textOf(root, 'Code') ?? ''})`,
  );
}
