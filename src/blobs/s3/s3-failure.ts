/**
 * What an answer that is no success means. S3 says it twice, by the status and by a code in XML; the code decides where it
 * is known, because servers differ in statuses. An answer that is not S3's at all comes from something in between.
 */
import { BlobError } from '../blob-store.ts';
import type { HttpAnswer } from './http-exchange.ts';
import { parseXml, textOf } from './s3-xml.ts';

type Code = BlobError['code'];

/** A BlobError that knows what the server said. */
export class S3Failure extends BlobError {
  /** S3's code, such as `SlowDown`; empty when the answer had none. */
  readonly s3Code: string;
  readonly status: number;
  /** Where the bucket is, when the server says that it is elsewhere. */
  readonly region: string | undefined;

  constructor(
    code: Code,
    message: string,
    said: { readonly s3Code: string; readonly status: number; readonly region: string | undefined; cause: unknown },
  ) {
    super(code, message, { cause: said.cause });
    this.s3Code = said.s3Code;
    this.status = said.status;
    this.region = said.region;
  }
}

interface Meaning {
  readonly code: Code;
  readonly what: string;
}

const wrongKey: Meaning = { code: 'blob-credentials', what: 'the server does not accept the access key or its secret' };
const expired: Meaning = { code: 'blob-credentials', what: 'the session token has expired or is not accepted' };
const denied: Meaning = { code: 'blob-denied', what: 'the credentials may not do this' };
const noSpace: Meaning = { code: 'blob-no-space', what: 'the store is full or its quota is used up' };
const busy: Meaning = { code: 'blob-unavailable', what: 'the server is busy or has a failure of its own' };
const damaged: Meaning = { code: 'blob-unavailable', what: 'the bytes did not arrive as they were sent' };
const elsewhere: Meaning = { code: 'blob-location', what: 'the bucket is in another region' };

/** MinIO calls a full disk an internal error, with the system's words as its cause; trying again frees nothing. */
const fullDisk = /no space left on device|disk quota exceeded/i;

/** Servers have no code of their own for a lock that forbids, and give it as one of several. */
const lockForbids = /object protected by object lock|WORM protected/i;
const noLocks = /missing object ?lock ?configuration/i;
const locked: Meaning = { code: 'blob-locked', what: 'its retention forbids that until it has passed' };
const noLock: Meaning = { code: 'blob-no-lock', what: 'the bucket was made without object lock' };

/** What each code means (Amazon S3 API Reference, "Error responses"; MinIO's own begin with X). */
const meanings: Readonly<Record<string, Meaning>> = {
  NoSuchKey: { code: 'blob-not-found', what: 'it is not there' },
  NoSuchBucket: { code: 'blob-store-missing', what: 'the bucket does not exist' },
  NoSuchUpload: { code: 'blob-unavailable', what: 'the server knows nothing of this upload' },
  PreconditionFailed: { code: 'blob-exists', what: 'it is there already' },
  ConditionalRequestConflict: { code: 'blob-unavailable', what: 'another request on it is under way' },
  OperationAborted: { code: 'blob-unavailable', what: 'another request on it is under way' },
  InvalidRange: { code: 'blob-range', what: 'it is shorter' },
  RequestTimeTooSkewed: { code: 'blob-clock', what: "this machine's clock and the server's are too far apart" },
  InvalidAccessKeyId: wrongKey,
  SignatureDoesNotMatch: wrongKey,
  InvalidSecurity: wrongKey,
  NotSignedUp: wrongKey,
  XAdminUserNotFound: wrongKey,
  ExpiredToken: expired,
  ExpiredTokenException: expired,
  InvalidToken: expired,
  InvalidTokenId: expired,
  TokenRefreshRequired: expired,
  AccessDenied: denied,
  AllAccessDisabled: denied,
  AccountProblem: denied,
  MethodNotAllowed: denied,
  InvalidObjectState: { code: 'blob-denied', what: 'it lies in an archive and must be brought back from there first' },
  PermanentRedirect: elsewhere,
  TemporaryRedirect: elsewhere,
  AuthorizationHeaderMalformed: elsewhere,
  IllegalLocationConstraintException: elsewhere,
  InvalidStorageClass: { code: 'blob-layout', what: 'the server has no storage class as .storageconfig names for it' },
  InvalidBucketName: { code: 'blob-location', what: 'the server takes no bucket of this name' },
  KeyTooLongError: { code: 'blob-name', what: 'the prefix and the name are too long together' },
  BadDigest: damaged,
  XAmzContentChecksumMismatch: damaged,
  XAmzContentSHA256Mismatch: damaged,
  IncompleteBody: damaged,
  SlowDown: busy,
  SlowDownRead: busy,
  SlowDownWrite: busy,
  TooManyRequests: busy,
  RequestTimeout: busy,
  InternalError: busy,
  ServiceUnavailable: busy,
  ObjectLockConfigurationNotFoundError: noLock,
  InsufficientCapacity: noSpace,
  QuotaExceeded: noSpace,
  XMinioStorageFull: noSpace,
  XMinioAdminBucketQuotaExceeded: noSpace,
};

/**
 * Of answers that say no more, or a code that nobody here knows. A blob is missing only where the server says `NoSuchKey`:
 * what is missing may be given up for lost, and there are servers that say 404 of an unknown user (versitygw).
 */
const meaningOfStatus: Readonly<Record<number, Meaning>> = {
  403: denied,
  404: { code: 'blob-unavailable', what: 'something that is needed for it is not there' },
  405: denied,
  408: busy,
  412: { code: 'blob-exists', what: 'it is there already' },
  416: { code: 'blob-range', what: 'it is shorter' },
  429: busy,
  507: noSpace,
};

/** @param doing what was attempted and on what, such as `get p01 of s3://bucket/` */
export function failureOf(answer: HttpAnswer, { doing, nowMs }: { doing: string; nowMs: number }): S3Failure {
  const { status, headers, body } = answer;
  const xml = body.length === 0 ? undefined : readError(body);
  const s3Code = xml?.code ?? '';
  const region = header(headers['x-amz-bucket-region']) ?? xml?.region;
  const said = {
    s3Code,
    status,
    region,
    cause: xml === undefined ? undefined : new Error(`${s3Code}: ${xml.message}`),
  };
  if (body.length > 0 && xml === undefined) {
    const type = header(headers['content-type']) ?? 'something else';
    const what = `no S3 server answered but something in between, such as a proxy (status ${status}, ${shown(type)})`;
    return new S3Failure('blob-unavailable', `${doing}: ${what}`, said);
  }
  const redirected = region !== undefined && (status === 301 || status === 307 || status === 400);
  const known =
    meaningOfMessage(xml?.message ?? '') ?? meanings[s3Code] ?? (redirected ? elsewhere : meaningOfStatus[status]);
  const meaning = known ?? (status >= 500 && status !== 501 ? busy : refused(status));
  return new S3Failure(
    meaning.code,
    `${doing}: ${meaning.what}${detail(meaning.code, answer, { region, nowMs })}`,
    said,
  );
}

function meaningOfMessage(message: string): Meaning | undefined {
  if (fullDisk.test(message)) return noSpace;
  if (lockForbids.test(message)) return locked;
  return noLocks.test(message) ? noLock : undefined;
}

function refused(status: number): Meaning {
  return { code: 'blob-denied', what: `the server refuses it with status ${status}` };
}

function detail(code: Code, { headers }: HttpAnswer, { region, nowMs }: { region: string | undefined; nowMs: number }) {
  if (code === 'blob-location' && region !== undefined) return `, ${shown(region)}`;
  const serverMs = Date.parse(header(headers['date']) ?? '');
  if (code !== 'blob-clock' || Number.isNaN(serverMs)) return '';
  const minutes = Math.round(Math.abs(nowMs - serverMs) / 60_000);
  return `: here it is ${time(nowMs)}, there ${time(serverMs)} (${minutes} minutes)`;
}

function time(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+/, '');
}

function readError(body: Uint8Array): { code: string; message: string; region: string | undefined } | undefined {
  try {
    const root = parseXml(body);
    const code = root.name === 'Error' ? textOf(root, 'Code') : undefined;
    if (code === undefined || !/^[A-Za-z0-9.]{1,80}$/.test(code)) return undefined;
    return { code, message: shown(textOf(root, 'Message') ?? ''), region: textOf(root, 'Region') };
  } catch {
    return undefined;
  }
}

/** Words of a stranger: one line, and not without end. */
function shown(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]+/g, ' ').slice(0, 200);
}

function header(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : value?.[0];
}
