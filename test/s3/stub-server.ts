/**
 * An HTTP server that does what it is told, for faults that a real server shows only by accident. It keeps objects, and a
 * script may take over any request. Never the only proof of how S3 answers: that is what the real servers are for.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import type { S3Place } from '../../src/blobs/s3/s3-place.ts';
import { listenHere } from '../support/listen-here.ts';

export interface StubRequest {
  readonly method: string;
  readonly key: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
  /** From 1, of all requests. */
  readonly nth: number;
}

/** Answers, or returns `serve` to have the request served as a plain server would. */
export type StubScript = (request: StubRequest, response: ServerResponse) => 'serve' | 'taken';

export interface StubServer extends AsyncDisposable {
  readonly place: S3Place;
  readonly objects: Map<string, Buffer>;
  readonly requests: readonly StubRequest[];
  /** Does what a plain server would, for a script that only spoils the answer. */
  serve(request: StubRequest, response: ServerResponse): void;
  script: StubScript;
}

export const lastModified = 'Tue, 14 Jan 2031 03:04:05 GMT';

export async function startStub(): Promise<StubServer> {
  const objects = new Map<string, Buffer>();
  const requests: StubRequest[] = [];
  const server = createServer((message, response) => {
    const handle = async (): Promise<void> => {
      const url = new URL(message.url ?? '', 'http://stub');
      const key = decodeURIComponent(url.pathname.replace(/^\/bucket\//, ''));
      const { method = '', headers } = message;
      const body = await buffer(message);
      // Asked for before the first put; no request that a script would count.
      if (key.endsWith('.storageconfig') && !objects.has(key)) return void refuse(response, 404, 'NoSuchKey');
      const request = { method, key, query: url.searchParams, headers, body, nth: requests.length + 1 };
      requests.push(request);
      if (stub.script(request, response) === 'serve') serve(objects, request, response);
    };
    handle().catch(() => response.destroy());
  });
  const endpoint = `http://127.0.0.1:${await listenHere(server)}`;
  const stub: StubServer = {
    place: { kind: 's3', bucket: 'bucket', prefix: '', endpoint, region: 'us-east-1', pathStyle: true },
    objects,
    requests,
    serve: (request, response) => serve(objects, request, response),
    script: () => 'serve',
    [Symbol.asyncDispose]: async () => {
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      server.closeAllConnections();
      await closed.promise;
    },
  };
  return stub;
}

/** An error as S3 sends it. */
export function refuse(
  response: ServerResponse,
  status: number,
  code: string,
  inner = '<Message>because</Message>',
): 'taken' {
  response.writeHead(status, { 'content-type': 'application/xml' });
  response.end(`<?xml version="1.0"?><Error><Code>${code}</Code>${inner}</Error>`);
  return 'taken';
}

function serve(objects: Map<string, Buffer>, request: StubRequest, response: ServerResponse): void {
  const { method, key, headers, body, query } = request;
  if (method === 'PUT') {
    if (headers['if-none-match'] === '*' && objects.has(key)) return void refuse(response, 412, 'PreconditionFailed');
    objects.set(key, body);
    return void response.writeHead(200, { etag: etagOf(body) }).end();
  }
  if (method === 'DELETE') {
    objects.delete(key);
    return void response.writeHead(204).end();
  }
  if (query.has('list-type')) return void response.end(page(objects, query));
  const object = objects.get(key);
  if (object === undefined) {
    if (method === 'HEAD') return void response.writeHead(404).end();
    return void refuse(response, 404, 'NoSuchKey');
  }
  const common = { etag: etagOf(object), 'last-modified': lastModified };
  const range = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '');
  if (range === null) {
    response.writeHead(200, { ...common, 'content-length': object.length });
    return void response.end(method === 'HEAD' ? undefined : object);
  }
  if (Number(range[1]) >= object.length) return void refuse(response, 416, 'InvalidRange');
  const part = object.subarray(Number(range[1]), Number(range[2]) + 1);
  const contentRange = `bytes ${range[1]}-${Number(range[1]) + part.length - 1}/${object.length}`;
  response.writeHead(206, { ...common, 'content-length': part.length, 'content-range': contentRange });
  response.end(part);
}

/** All of it in pages of two. */
function page(objects: ReadonlyMap<string, Buffer>, query: URLSearchParams): string {
  const prefix = query.get('prefix') ?? '';
  const keys = [...objects.keys()].filter((key) => key.startsWith(prefix)).toSorted();
  const after = query.get('start-after') ?? '';
  const start = Number(query.get('continuation-token') ?? keys.filter((key) => key <= after).length);
  const contents = keys.slice(start, start + 2).map((key) => {
    const size = objects.get(key)?.length ?? 0;
    return `<Contents><Key>${encodeURIComponent(key)}</Key><LastModified>2031-01-14T03:04:05.678Z</LastModified><Size>${size}</Size></Contents>`;
  });
  const more = start + 2 < keys.length;
  const next = more ? `<NextContinuationToken>${start + 2}</NextContinuationToken>` : '';
  return `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>${more}</IsTruncated>${next}${contents.join('')}</ListBucketResult>`;
}

function etagOf(body: Uint8Array): string {
  return `"${createHash('md5').update(body).digest('hex')}"`;
}
