/**
 * Requests to one bucket: addressed, signed, sent, and their refusals understood. Two refusals are mended here, once each for
 * a request: a bucket that turns out to be in another region, and keys that are no longer accepted while newer ones can be
 * had. Everything else is for whoever called; nothing is tried again because it may have been bad luck.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../../std/clock.ts';
import { BlobError, type BlobCall } from '../blob-store.ts';
import type { HttpAnswer, HttpExchange } from './http-exchange.ts';
import type { HttpHeaders } from './http-response.ts';
import type { S3Credentials } from './s3-credentials.ts';
import { failureOf, S3Failure } from './s3-failure.ts';
import type { S3Place } from './s3-place.ts';
import { emptyPayloadHash, encodeKey, encodeQuery, SignerV4, type SigningKeys, unsignedPayload } from './sign-v4.ts';

export interface S3Body {
  readonly pieces: readonly Uint8Array[];
  /** Known where it was computed on the way; it is asked for on plain HTTP only. */
  readonly sha256?: string | undefined;
}

export interface S3Request {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  /** The whole key, prefix included; absent for the bucket itself. */
  readonly key?: string | undefined;
  readonly query?: Readonly<Record<string, string>> | undefined;
  /** Names in lower case. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: S3Body | undefined;
  /** As in an HttpRequest, for success only. */
  readonly into?: ((status: number, headers: HttpHeaders) => Uint8Array) | undefined;
  /** What is attempted, for messages. */
  readonly doing: string;
}

export interface S3ClientParts {
  readonly clock: Clock;
  readonly exchange: Pick<HttpExchange, 'send'>;
  readonly credentials: S3Credentials;
}

export class S3Client {
  readonly #parts: S3ClientParts;
  readonly #place: S3Place;
  readonly #signer = new SignerV4();
  readonly #tls: boolean;
  #region: string;

  constructor(parts: S3ClientParts, place: S3Place) {
    this.#parts = parts;
    this.#place = place;
    this.#region = place.region;
    this.#tls = usesTls(place);
  }

  /** @returns an answer of success (2xx). @throws {S3Failure} what the server refused; {BlobError} as `HttpExchange.send` */
  async send(request: S3Request, { signal }: BlobCall): Promise<HttpAnswer> {
    let mended = { region: false, keys: false, asked: false };
    for (;;) {
      const keys = await this.#parts.credentials.current({ signal });
      const answer = await this.#once(request, keys, signal);
      if (isSuccess(answer.status)) return answer;
      const failure = failureOf(answer, { doing: request.doing, nowMs: this.#parts.clock.nowMs() });
      if (!mended.region && this.#moveTo(failure.region)) mended = { ...mended, region: true };
      else if (!mended.keys && (await this.#renewKeys(failure, keys, signal))) mended = { ...mended, keys: true };
      else if (!mended.asked && isMute(request, failure)) {
        // The answer to HEAD has no room for a reason. GET gives it, or mends it on the way.
        await this.send({ ...request, method: 'GET', headers: { range: 'bytes=0-0' } }, { signal });
        mended = { ...mended, asked: true };
      } else throw failure;
    }
  }

  async #once(request: S3Request, keys: SigningKeys, signal: AbortSignal): Promise<HttpAnswer> {
    const { method, key = '', query = {}, body, into, doing } = request;
    const { host, path } = this.#address(key);
    const headers = { ...request.headers, host };
    const payloadHash = this.#hashOf(body);
    const nowMs = this.#parts.clock.nowMs();
    const toSign = { method, path, query, headers, payloadHash };
    const signed = this.#signer.sign(toSign, { keys, region: this.#region, nowMs });
    const search = encodeQuery(query);
    const call = {
      method,
      host,
      path: search === '' ? path : `${path}?${search}`,
      headers: signed,
      body: body?.pieces,
      into: into && ((status: number, got: HttpHeaders) => (isSuccess(status) ? into(status, got) : undefined)),
    };
    try {
      return await this.#parts.exchange.send(call, { signal });
    } catch (error) {
      if (!(error instanceof BlobError) || error instanceof S3Failure) throw error;
      throw new BlobError(error.code, `${doing}: ${error.message}`, { cause: error.cause });
    }
  }

  /** @returns whether that is another region than the one that was asked */
  #moveTo(region: string | undefined): boolean {
    if (region === undefined || region === this.#region || !/^[a-z0-9-]{1,64}$/.test(region)) return false;
    this.#region = region;
    return true;
  }

  async #renewKeys(failure: S3Failure, keys: SigningKeys, signal: AbortSignal): Promise<boolean> {
    return failure.code === 'blob-credentials' && (await this.#parts.credentials.renew(keys, { signal }));
  }

  #address(key: string): { host: string; path: string } {
    const { bucket, endpoint, pathStyle } = this.#place;
    const suffix = this.#region.startsWith('cn-') ? '.cn' : '';
    const host = endpoint === undefined ? `s3.${this.#region}.amazonaws.com${suffix}` : new URL(endpoint).host;
    if (pathStyle) return { host, path: encodeKey(`/${bucket}/${key}`) };
    return { host: `${bucket}.${host}`, path: encodeKey(`/${key}`) };
  }

  /** TLS guards the bytes on their way already; without it, the signature does. */
  #hashOf(body: S3Body | undefined): string {
    if (body === undefined) return emptyPayloadHash;
    if (this.#tls) return unsignedPayload;
    if (body.sha256 !== undefined) return body.sha256;
    const hash = createHash('sha256');
    for (const piece of body.pieces) hash.update(piece);
    return hash.digest('hex');
  }
}

export function usesTls({ endpoint }: S3Place): boolean {
  return endpoint === undefined || endpoint.startsWith('https:');
}

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

function isMute({ method }: S3Request, { status, s3Code }: S3Failure): boolean {
  return method === 'HEAD' && s3Code === '' && [400, 401, 403, 404].includes(status);
}
