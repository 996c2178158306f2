/**
 * Single objects of a bucket: what each request is, and what its answer must look like before it is believed. Every answer of
 * success about an object carries its ETag; one that does not, was given by something else, such as a proxy.
 *
 * What is durable when: an object is there, whole, when the answer to its PUT has come. A PUT whose answer got lost may have
 * been carried out: then the object is looked at, and taken for stored only if its length and its CRC-32, or its MD5 as
 * ETag, are those of the bytes that were sent. Otherwise the failure stands, and whoever called may send the same again.
 */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { hasCode } from '../../std/dray-error.ts';
import { BlobError, type BlobCall } from '../blob-store.ts';
import type { HttpHeaders } from './http-response.ts';
import { wholeSeconds } from './list-objects.ts';
import { lockHeaders, type ObjectLock } from './object-lock.ts';
import type { S3Client } from './s3-client.ts';
import { S3Failure } from './s3-failure.ts';

/** Larger ones are read by ranges; Kopia's largest blobs are packs and stay below 120 MiB. */
const wholeObjectBytesMax = 1024 ** 3;

/** Reasons that hold for all requests alike. */
const refusals: ReadonlySet<BlobError['code']> = new Set([
  'blob-credentials',
  'blob-clock',
  'blob-store-missing',
  'blob-location',
  'blob-tls',
  'blob-proxy',
]);

/** Bytes on their way, with what was computed while they were collected. */
export interface ObjectBytes {
  readonly pieces: readonly Uint8Array[];
  readonly lengthBytes: number;
  readonly crc32: number;
  readonly sha256?: string | undefined;
}

export interface ObjectHead {
  readonly lengthBytes: number;
  readonly timestampMs: number;
  /** Without quotes. */
  readonly etag: string;
  /** Base64, where the server keeps one. */
  readonly crc32: string | undefined;
}

export interface ObjectGet extends BlobCall {
  readonly doing: string;
  readonly range?: { readonly offset: number; readonly lengthBytes: number } | undefined;
  readonly into?: Uint8Array | undefined;
  /** Of a whole object: a longer one is `blob-range`. */
  readonly bytesMax?: number | undefined;
}

export interface ObjectCall extends BlobCall {
  readonly doing: string;
}

export interface ObjectPut extends ObjectCall {
  readonly ifAbsent: boolean;
  readonly lock?: ObjectLock | undefined;
  /** Absent: the server's usual one. */
  readonly storageClass?: string | undefined;
}

export class S3Objects {
  readonly #client: S3Client;
  /** Set when the server has said that it cannot create conditionally. */
  #unconditional = false;

  constructor(client: S3Client) {
    this.#client = client;
  }

  async get(key: string, { range, into, bytesMax, doing, signal }: ObjectGet): Promise<Uint8Array> {
    if (range !== undefined && (!Number.isSafeInteger(range.offset + range.lengthBytes) || range.offset < 0)) {
      throw tooShort(doing);
    }
    if (range?.lengthBytes === 0) {
      const { lengthBytes } = await this.head(key, { doing, signal });
      if (range.offset > lengthBytes) throw tooShort(doing);
      return into?.subarray(0, 0) ?? new Uint8Array(0);
    }
    const headers = range && { range: `bytes=${range.offset}-${range.offset + range.lengthBytes - 1}` };
    const { body } = await this.#client.send(
      {
        method: 'GET',
        key,
        headers,
        doing,
        into: (status, got) => {
          checkIsObject(got, doing);
          const length =
            range === undefined ? wholeLength(got, doing, bytesMax) : rangeLength(range, { status, got, doing });
          if (into !== undefined && into.length < length) throw tooLarge(length, doing);
          return into?.subarray(0, length) ?? Buffer.allocUnsafeSlow(length);
        },
      },
      { signal },
    );
    return body;
  }

  /** @throws {BlobError} `blob-not-found`, … */
  async head(key: string, { doing, signal }: ObjectCall): Promise<ObjectHead> {
    const headers = { 'x-amz-checksum-mode': 'ENABLED' };
    const answer = await this.#client.send({ method: 'HEAD', key, headers, doing }, { signal });
    checkIsObject(answer.headers, doing);
    const timestampMs = wholeSeconds(answer.headers['last-modified']);
    if (timestampMs === undefined) throw new BlobError('blob-unavailable', `${doing}: the answer has no time`);
    return {
      lengthBytes: wholeLength(answer.headers, doing),
      timestampMs,
      etag: etagOf(answer.headers),
      crc32: answer.headers['x-amz-checksum-crc32'],
    };
  }

  /**
   * Stores an object in one request. With `ifAbsent` the server decides who is first. One that cannot (it answers
   * `NotImplemented`) is asked whether the object is there, and told to store it if not: of two at the same moment both
   * may win there. One that ignores the condition silently cannot be told from one that obeys.
   * @throws {BlobError} `blob-exists` with `ifAbsent`, …
   */
  async put(key: string, bytes: ObjectBytes, call: ObjectPut): Promise<void> {
    const { doing, ifAbsent, lock, storageClass, signal } = call;
    if (ifAbsent && this.#unconditional) {
      await this.#refuseIfThere(key, call);
      return await this.put(key, bytes, { ...call, ifAbsent: false });
    }
    const headers = {
      'content-type': 'application/x-kopia',
      'x-amz-checksum-crc32': encodeCrc32(bytes.crc32),
      ...(ifAbsent && { 'if-none-match': '*' }),
      ...storageClassHeader(storageClass),
      // A request that locks must carry one of S3's older checksums; some servers know only this.
      ...(lock && { ...lockHeaders(lock), 'content-md5': md5Of(bytes).toString('base64') }),
    };
    try {
      const answer = await this.#client.send({ method: 'PUT', key, headers, body: bytes, doing }, { signal });
      checkIsObject(answer.headers, doing);
    } catch (error) {
      if (ifAbsent && error instanceof S3Failure && isNotImplemented(error)) {
        this.#unconditional = true;
        return await this.put(key, bytes, call);
      }
      if (signal.aborted || !isUnknownOutcome(error) || !(await this.#isThere(key, bytes, call))) throw error;
    }
  }

  /** What is not there counts as removed. */
  async remove(key: string, { doing, signal }: ObjectCall): Promise<void> {
    try {
      const { headers } = await this.#client.send({ method: 'DELETE', key, doing }, { signal });
      if (headers['content-type']?.startsWith('text/html') === true) throw notS3(headers, doing);
    } catch (error) {
      if (!hasCode(error, 'blob-not-found')) throw error;
    }
  }

  async #refuseIfThere(key: string, { doing, signal }: ObjectCall): Promise<void> {
    try {
      await this.head(key, { doing, signal });
    } catch (error) {
      if (hasCode(error, 'blob-not-found')) return;
      throw error;
    }
    throw new BlobError('blob-exists', `${doing}: it is there already`);
  }

  /** Whether the object is there with these very bytes; false when that cannot be found out. */
  async #isThere(key: string, bytes: ObjectBytes, { doing, signal }: ObjectCall): Promise<boolean> {
    let head: ObjectHead;
    try {
      head = await this.head(key, { doing: `${doing}: see whether it was stored`, signal });
    } catch (error) {
      // A refusal that holds for both was lost with the connection: a server need not wait for the whole body.
      if (signal.aborted || !(error instanceof BlobError) || refusals.has(error.code)) throw error;
      return false;
    }
    if (head.lengthBytes !== bytes.lengthBytes) return false;
    if (head.crc32 !== undefined) return head.crc32 === encodeCrc32(bytes.crc32);
    return head.etag === md5Of(bytes).toString('hex');
  }
}

export function storageClassHeader(storageClass: string | undefined): Readonly<Record<string, string>> | undefined {
  return storageClass === undefined ? undefined : { 'x-amz-storage-class': storageClass };
}

/** Of the bytes of one buffer. */
export function objectBytes(bytes: Uint8Array): ObjectBytes {
  return { pieces: [bytes], lengthBytes: bytes.length, crc32: crc32(bytes) };
}

export function etagOf(headers: HttpHeaders): string {
  return (headers['etag'] ?? '').replaceAll('"', '').toLowerCase();
}

function md5Of({ pieces }: ObjectBytes): Buffer {
  const hash = createHash('md5');
  for (const piece of pieces) hash.update(piece);
  return hash.digest();
}

/** Base64 of the four bytes, the highest first. */
function encodeCrc32(value: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes.toString('base64');
}

/** A failure after which the request may have been carried out: nobody answered, or a gateway did for the server. */
function isUnknownOutcome(error: unknown): boolean {
  if (!hasCode(error, 'blob-unavailable')) return false;
  return !(error instanceof S3Failure) || error.s3Code === '' || error.s3Code === 'InternalError';
}

function isNotImplemented({ s3Code, status }: S3Failure): boolean {
  return s3Code === 'NotImplemented' || status === 501;
}

function checkIsObject(headers: HttpHeaders, doing: string): void {
  if (etagOf(headers) === '') throw notS3(headers, doing);
}

function notS3(headers: HttpHeaders, doing: string): BlobError {
  const type = headers['content-type'] ?? 'of no type';
  const what = `no S3 server answered but something in between, such as a proxy (${type.slice(0, 80)})`;
  return new BlobError('blob-unavailable', `${doing}: ${what}`);
}

function wholeLength(headers: HttpHeaders, doing: string, bytesMax = wholeObjectBytesMax): number {
  const length = lengthHeader(headers);
  if (length === undefined) throw new BlobError('blob-unavailable', `${doing}: the answer does not tell the length`);
  if (length > bytesMax) throw tooLarge(length, doing);
  return length;
}

/** Believes nothing but exactly the range that was asked for, before anything is allocated for it. */
function rangeLength(
  { offset, lengthBytes }: { readonly offset: number; readonly lengthBytes: number },
  { status, got, doing }: { readonly status: number; readonly got: HttpHeaders; readonly doing: string },
): number {
  const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(got['content-range'] ?? '');
  if (status !== 206 || match === null) {
    throw new BlobError('blob-unavailable', `${doing}: the server, or a proxy, sends another part than was asked for`);
  }
  const [first, last, total] = match.slice(1).map(Number) as [number, number, number];
  if (first === offset && offset + lengthBytes > total && last === total - 1) throw tooShort(doing);
  const length = lengthHeader(got);
  if (first !== offset || last !== offset + lengthBytes - 1 || (length !== undefined && length !== lengthBytes)) {
    throw new BlobError('blob-unavailable', `${doing}: the server, or a proxy, sends another part than was asked for`);
  }
  if (lengthBytes > wholeObjectBytesMax) throw tooLarge(lengthBytes, doing);
  return lengthBytes;
}

function lengthHeader(headers: HttpHeaders): number | undefined {
  const text = headers['content-length'] ?? '';
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

function tooShort(doing: string): BlobError {
  return new BlobError('blob-range', `${doing}: it is shorter`);
}

function tooLarge(lengthBytes: number, doing: string): BlobError {
  return new BlobError('blob-range', `${doing}: ${lengthBytes} bytes are too many for one read`);
}
