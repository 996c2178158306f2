/**
 * Where an S3 repository is, as users write it: `s3://bucket/prefix?endpoint=…`. Keys are Kopia's (`repo/blob/s3`): the
 * prefix and the name of the blob, with nothing in between. Kopia takes its prefix to the letter and advises to end it with
 * `/`, as Velero does; so the path of the URL is a folder here, unless `exact-prefix=true` says otherwise.
 */
import { isAbsolute, resolve } from 'node:path';
import { BlobError } from '../blob-store.ts';

/** Structured-clonable; holds no secret. */
export interface S3Place {
  readonly kind: 's3';
  readonly bucket: string;
  /** What stands before each blob's name; empty, or in most cases ending with `/`. */
  readonly prefix: string;
  /** `https://host[:port]` or `http://host[:port]`; absent: AWS, in the region. */
  readonly endpoint?: string | undefined;
  /** Where requests are signed for. Corrected by the store when the server names another one. */
  readonly region: string;
  /** The bucket in the path instead of in the host's name. */
  readonly pathStyle: boolean;
  /** Absolute path of a PEM file with the authorities to trust, instead of those that Node carries. */
  readonly caFile?: string | undefined;
}

export interface S3UrlOptions {
  /** Region where the URL names none: what AWS's tools would take. */
  readonly region?: string | undefined;
  /** False: an endpoint may be `http://`, which shows to everybody on the way what is stored and when. */
  readonly tls: boolean;
}

const parameters = ['endpoint', 'region', 'path-style', 'ca', 'exact-prefix'];
/** AWS's rule for new buckets and what older ones and other servers allow; never a character that a URL reads differently. */
const bucketPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$/;
const regionPattern = /^[A-Za-z0-9-]{1,64}$/;
const prefixBytesMax = 512;

/** @throws {BlobError} `blob-location`, never repeating what may be a secret */
export function parseS3Url(text: string, { region: defaultRegion, tls }: S3UrlOptions): S3Place {
  const url = parseUrl(text);
  const bucket = url.hostname;
  if (!bucketPattern.test(bucket)) throw wrong('an S3 URL is s3://BUCKET or s3://BUCKET/PREFIX');
  const given = readParameters(url.searchParams);
  const endpoint = given.endpoint === undefined ? undefined : readEndpoint(given.endpoint, tls);
  const region = given.region ?? defaultRegion ?? 'us-east-1';
  if (!regionPattern.test(region)) throw wrong('region is a name such as eu-central-1');
  return {
    kind: 's3',
    bucket,
    prefix: readPrefix(url.pathname, readFlag('exact-prefix', given['exact-prefix']) ?? false),
    endpoint,
    region,
    // Names with dots are in no certificate for *.s3.amazonaws.com, and few other servers have names for buckets.
    pathStyle: readFlag('path-style', given['path-style']) ?? (endpoint !== undefined || bucket.includes('.')),
    caFile: given.ca === undefined ? undefined : readPath(given.ca),
  };
}

/** For messages. */
export function describeS3Place({ bucket, prefix, endpoint }: S3Place): string {
  const at = endpoint === undefined ? '' : ` at ${endpoint}`;
  return `s3://${bucket}/${prefix}${at}`;
}

function parseUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw wrong('the s3:// URL cannot be read; it is s3://BUCKET/PREFIX?endpoint=https://HOST');
  }
  if (url.username !== '' || url.password !== '') {
    throw wrong('an S3 URL holds no keys: put them where AWS tools look, such as AWS_ACCESS_KEY_ID or a profile');
  }
  if (url.port !== '') throw wrong('an S3 URL begins with the bucket; write the server as endpoint=https://HOST:PORT');
  if (url.hash !== '') throw wrong('an S3 URL has no #; write %23 for one in a prefix');
  return url;
}

type Given = Partial<Record<'endpoint' | 'region' | 'path-style' | 'ca' | 'exact-prefix', string>>;

function readParameters(search: URLSearchParams): Given {
  const given: Record<string, string> = {};
  for (const [name, value] of search) {
    if (!parameters.includes(name)) {
      const shown = /^[a-z-]{1,32}$/.test(name) ? `"${name}"` : 'this one';
      throw wrong(`an S3 URL has no parameter ${shown}; it may have ${parameters.join(', ')}`);
    }
    if (name in given) throw wrong(`${name} is given twice`);
    if (value === '') throw wrong(`${name} is empty`);
    given[name] = value;
  }
  return given;
}

function readEndpoint(text: string, tls: boolean): string {
  const url = URL.parse(/^[a-z]+:\/\//i.test(text) ? text : `https://${text}`);
  if (url === null || !['https:', 'http:'].includes(url.protocol) || url.hostname === '') {
    throw wrong('endpoint is https://HOST or https://HOST:PORT');
  }
  if (url.username !== '' || url.password !== '') throw wrong('an endpoint holds no keys');
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    throw wrong('an endpoint has no path; the bucket and the prefix stand in s3://BUCKET/PREFIX');
  }
  if (url.protocol === 'http:' && tls) {
    throw wrong('the endpoint is http://, which anybody on the way can read: use https://, or allow it with --no-tls');
  }
  return url.origin;
}

function readFlag(name: string, text: string | undefined): boolean | undefined {
  if (text === undefined) return undefined;
  if (text === 'true') return true;
  if (text === 'false') return false;
  throw wrong(`${name} is true or false`);
}

function readPath(text: string): string {
  if (text.includes('\0')) throw wrong('ca is the path of a PEM file');
  return isAbsolute(text) ? text : resolve(text);
}

function readPrefix(pathname: string, exact: boolean): string {
  let prefix: string;
  try {
    prefix = decodeURIComponent(pathname.slice(1));
  } catch {
    throw wrong('the prefix has a % that stands for nothing; write %25 for the sign itself');
  }
  // Servers refuse these, or fold them into something else.
  const segments = prefix.replace(/\/$/, '').split('/');
  const odd = prefix !== '' && !exact && segments.some((segment) => ['', '.', '..'].includes(segment));
  // oxlint-disable-next-line no-control-regex
  if (odd || /[\u0000-\u001f\u007f]/.test(prefix)) throw wrong('the prefix is no path such as backups/volumes');
  if (Buffer.byteLength(prefix) > prefixBytesMax) throw wrong(`the prefix is longer than ${prefixBytesMax} bytes`);
  return prefix === '' || exact || prefix.endsWith('/') ? prefix : `${prefix}/`;
}

function wrong(message: string): BlobError {
  return new BlobError('blob-location', message);
}
