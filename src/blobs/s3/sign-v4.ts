/**
 * AWS Signature Version 4 in a header, as S3 takes it (Amazon S3 API Reference, "Authenticating Requests: Using the
 * Authorization Header"). All headers that are given are signed; the payload counts by the hash that the caller names.
 */
import { createHash, createHmac } from 'node:crypto';

export interface SigningKeys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Of temporary credentials. */
  readonly sessionToken?: string | undefined;
}

export interface RequestToSign {
  readonly method: string;
  /** Encoded with `encodeKey`; begins with `/`. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** Names in lower case; `host` among them. */
  readonly headers: Readonly<Record<string, string>>;
  /** Lower-case hexadecimal SHA-256 of the payload, or `UNSIGNED-PAYLOAD`. */
  readonly payloadHash: string;
}

export const unsignedPayload = 'UNSIGNED-PAYLOAD';
export const emptyPayloadHash = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

export class SignerV4 {
  #dayKey: { readonly of: string; readonly key: Buffer } | undefined;

  /** The headers to send: those of the request, the date, the hash, the token and the signature. */
  sign(
    request: RequestToSign,
    { keys, region, nowMs }: { readonly keys: SigningKeys; readonly region: string; readonly nowMs: number },
  ): Record<string, string> {
    const time = new Date(nowMs).toISOString().replaceAll(/[-:]|\.\d+/g, '');
    const scope = `${time.slice(0, 8)}/${region}/s3/aws4_request`;
    const headers: Record<string, string> = {
      ...request.headers,
      'x-amz-content-sha256': request.payloadHash,
      'x-amz-date': time,
      ...(keys.sessionToken !== undefined && { 'x-amz-security-token': keys.sessionToken }),
    };
    const names = Object.keys(headers).toSorted();
    const signedHeaders = names.join(';');
    const canonical = [
      request.method,
      request.path,
      encodeQuery(request.query),
      ...names.map((name) => `${name}:${(headers[name] ?? '').trim().replaceAll(/ +/g, ' ')}`),
      '',
      signedHeaders,
      request.payloadHash,
    ].join('\n');
    const hash = createHash('sha256').update(canonical).digest('hex');
    const key = this.#keyOf(keys.secretAccessKey, scope);
    const signature = createHmac('sha256', key).update(`AWS4-HMAC-SHA256\n${time}\n${scope}\n${hash}`).digest('hex');
    const credential = `Credential=${keys.accessKeyId}/${scope}`;
    headers['authorization'] = `AWS4-HMAC-SHA256 ${credential}, SignedHeaders=${signedHeaders}, Signature=${signature}`;
    return headers;
  }

  /** Four rounds of HMAC, once a day. */
  #keyOf(secretAccessKey: string, scope: string): Buffer {
    const of = `${secretAccessKey}\n${scope}`;
    if (this.#dayKey?.of === of) return this.#dayKey.key;
    let key: Buffer = Buffer.from(`AWS4${secretAccessKey}`);
    for (const part of scope.split('/')) key = createHmac('sha256', key).update(part).digest();
    this.#dayKey = { of, key };
    return key;
  }
}

/** Encodes all but unreserved characters and `/`, once: S3 does not encode the path a second time. */
export function encodeKey(key: string): string {
  return key.split('/').map(encode).join('/');
}

/** In the order that is signed, which is also the one that is sent. */
export function encodeQuery(query: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(query).map(([name, value]) => `${encode(name)}=${encode(value)}`);
  return pairs.toSorted().join('&');
}

/** RFC 3986: `encodeURIComponent` leaves five characters that AWS wants encoded. */
function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}
