/**
 * A store of a simulation as an S3 bucket over HTTP, so that a program from outside can work on it, and the simulated time
 * for kopia's fake clock. What a client sees of time is the simulation's: `Date`, `LastModified`, and that clock, which
 * moves on by a millisecond with each question. Any signature is taken. Requests are served one after another, each
 * whole, so that whoever acts before one acts between two. Never a proof of how S3 answers: that is what real servers are for.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';

import { blobId, type BlobMetadata, type BlobStore } from '../../src/blobs/blob-store.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { formatGoTime, nanosecondsFromMs } from '../../src/std/go-time.ts';
import { decodeChunked } from './aws-chunked.ts';
import type { SimClock } from '../support/sim-clock.ts';
import { listenHere } from '../support/listen-here.ts';

const signal = new AbortController().signal;
const keysPerPage = 1000;
const bucketPath = /^\/bucket(?:\/(.*))?$/;

export interface DoorParts {
  readonly store: BlobStore;
  readonly clock: SimClock;
  /**
   * Called before each request to the bucket is served, with an empty key where it is about all of the bucket; the next
   * waits for it. When it throws, the connection is cut.
   */
  readonly before: (method: string, key: string) => Promise<void>;
}

export interface S3Door extends AsyncDisposable {
  /** `host:port`; the bucket is called `bucket`. */
  readonly endpoint: string;
  /** For `KOPIA_FAKE_CLOCK_ENDPOINT`. */
  readonly clockUrl: string;
  /** When all that was asked for is served. */
  idle(): Promise<void>;
}

export async function openDoor(parts: DoorParts): Promise<S3Door> {
  const { clock, before } = parts;
  let last = Promise.resolve();
  const server = createServer((request, response) => {
    if (request.url === '/clock') return answerClock(clock, response);
    const handle = async (): Promise<void> => {
      const body = await buffer(request);
      await before(request.method ?? '', keyOf(urlOf(request)));
      clock.advance(1);
      await serve(parts, { request, body }, response);
    };
    last = last.then(handle).catch(() => void response.destroy());
  });
  const endpoint = `127.0.0.1:${await listenHere(server)}`;
  return {
    endpoint,
    clockUrl: `http://${endpoint}/clock`,
    idle: async () => await last,
    [Symbol.asyncDispose]: async () => {
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      server.closeAllConnections();
      await closed.promise;
    },
  };
}

/** Valid for a nanosecond: time is asked for each time that it is looked at. */
function answerClock(clock: SimClock, response: ServerResponse): void {
  clock.advance(1);
  response.end(JSON.stringify({ time: formatGoTime(nanosecondsFromMs(clock.nowMs())), validFor: 1 }));
}

interface Received {
  readonly request: IncomingMessage;
  readonly body: Buffer;
}

async function serve(
  { store, clock }: DoorParts,
  { request, body }: Received,
  response: ServerResponse,
): Promise<void> {
  const { method = '', headers } = request;
  const url = urlOf(request);
  const key = keyOf(url);
  response.setHeader('date', new Date(clock.nowMs()).toUTCString());
  if (key === '') return await serveBucket(store, { method, query: url.searchParams }, response);
  const id = blobId(key);
  if (method === 'PUT') {
    const bytes = isChunked(headers) ? decodeChunked(body) : body;
    await store.put(id, bytes, { signal });
    return void response.writeHead(200, { etag: etagOf(bytes) }).end();
  }
  if (method === 'DELETE') {
    await store.remove(id, { signal });
    return void response.writeHead(204).end();
  }
  if (method !== 'GET' && method !== 'HEAD') return refuse(response, 405, 'MethodNotAllowed');
  try {
    const [bytes, blob] = [await store.get(id, { signal }), await store.stat(id, { signal })];
    sendObject({ bytes, blob, range: headers.range, isHead: method === 'HEAD' }, response);
  } catch (error) {
    if (!hasCode(error, 'blob-not-found')) throw error;
    if (method === 'HEAD') response.writeHead(404).end();
    else refuse(response, 404, 'NoSuchKey');
  }
}

function urlOf({ url = '' }: IncomingMessage): URL {
  return new URL(url, 'http://door');
}

/** Empty for the bucket itself. */
function keyOf({ pathname }: URL): string {
  return decodeURIComponent(bucketPath.exec(pathname)?.[1] ?? '');
}

interface Sent {
  readonly bytes: Uint8Array;
  readonly blob: BlobMetadata;
  readonly range: string | undefined;
  readonly isHead: boolean;
}

function sendObject({ bytes, blob, range, isHead }: Sent, response: ServerResponse): void {
  const modified = new Date(blob.timestampMs).toUTCString();
  const common = { etag: etagOf(bytes), 'last-modified': modified, 'content-type': 'application/x-kopia' };
  const asked = /^bytes=(\d+)-(\d*)$/.exec(range ?? '');
  if (asked === null) {
    response.writeHead(200, { ...common, 'content-length': bytes.length });
    return void response.end(isHead ? undefined : bytes);
  }
  const first = Number(asked[1]);
  if (first >= bytes.length) return refuse(response, 416, 'InvalidRange');
  const part = bytes.subarray(first, asked[2] === '' ? undefined : Number(asked[2]) + 1);
  const contentRange = `bytes ${first}-${first + part.length - 1}/${bytes.length}`;
  response.writeHead(206, { ...common, 'content-length': part.length, 'content-range': contentRange });
  response.end(isHead ? undefined : part);
}

interface BucketRequest {
  readonly method: string;
  readonly query: URLSearchParams;
}

async function serveBucket(
  store: BlobStore,
  { method, query }: BucketRequest,
  response: ServerResponse,
): Promise<void> {
  if (method === 'HEAD') return void response.end();
  if (method !== 'GET') return refuse(response, 405, 'MethodNotAllowed');
  if (query.has('location')) return sendXml(response, '<LocationConstraint/>');
  if (query.has('versioning')) return sendXml(response, '<VersioningConfiguration/>');
  if (query.get('list-type') !== '2') return refuse(response, 501, 'NotImplemented');
  sendXml(response, await listPage(store, query));
}

/** By name, as S3 does. A page begins behind the last key of the one before, whatever came and went between them. */
async function listPage(store: BlobStore, query: URLSearchParams): Promise<string> {
  const prefix = query.get('prefix') ?? '';
  const after = query.get('continuation-token') ?? query.get('start-after') ?? '';
  const max = Math.min(Number(query.get('max-keys') ?? keysPerPage), keysPerPage);
  const blobs = (await Array.fromAsync(store.list(prefix, { signal })))
    .filter(({ id }) => id > after)
    .toSorted((a, b) => (a.id < b.id ? -1 : 1));
  const page = blobs.slice(0, max);
  const contents = page.map(({ id, lengthBytes, timestampMs }) => {
    const modified = new Date(timestampMs).toISOString();
    return `<Contents><Key>${id}</Key><LastModified>${modified}</LastModified><Size>${lengthBytes}</Size></Contents>`;
  });
  const last = blobs.length > page.length ? page.at(-1)?.id : undefined;
  const next = last === undefined ? '' : `<NextContinuationToken>${last}</NextContinuationToken>`;
  return `<ListBucketResult><Name>bucket</Name><IsTruncated>${last !== undefined}</IsTruncated>${next}${contents.join('')}</ListBucketResult>`;
}

function sendXml(response: ServerResponse, xml: string): void {
  response.writeHead(200, { 'content-type': 'application/xml' });
  response.end(`<?xml version="1.0"?>${xml}`);
}

function refuse(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status, { 'content-type': 'application/xml' });
  response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>because</Message></Error>`);
}

function isChunked(headers: IncomingMessage['headers']): boolean {
  return String(headers['x-amz-content-sha256'] ?? '').startsWith('STREAMING-');
}

function etagOf(bytes: Uint8Array): string {
  return `"${createHash('md5').update(bytes).digest('hex')}"`;
}
