/**
 * One HTTP request and its answer, over connections that are kept. Nothing is retried, redirected or unpacked in secret.
 * Where the environment names a proxy, requests to a server with TLS go through it unseen; others are handed to it.
 * Every wait has an end: a request that moves too few bytes for a minute, in either direction, fails. What fails here is
 * `blob-unavailable`, because it may pass, but for a server that is not trusted (`blob-tls`). Whether a request that
 * failed was carried out is unknown.
 */
import type { Socket } from 'node:net';
import { abortReason } from '../../std/abort.ts';
import type { Clock } from '../../std/clock.ts';
import { Semaphore } from '../../std/semaphore.ts';
import { BlobError } from '../blob-store.ts';
import { HttpConnection, isUntrusted, type ServerAddress } from './http-connection.ts';
import type { HttpHead, HttpHeaders } from './http-response.ts';
import { openTunnel } from './proxy-tunnel.ts';
import { findProxy, type Proxy, proxyFailure, proxyRefusal, type ProxyVariables } from './proxy.ts';

/** Requests of one store, which is of one thread, that may be under way at once; more of them wait. */
const requestsMax = 32;
/** A connection that lay idle for longer is not used again: servers close them after 5 seconds and more. */
const idleMsMax = 4_000;
/** Answers that are not written into a buffer of the caller: listings of 1,000 names, errors. */
const textBytesMax = 8 * 1024 * 1024;
/** What must move in each minute: a hundred times slower than a telephone line with a modem is no link. */
const stallMs = 60_000;
const stallBytesMin = 4 * 1024;
/** Made once: an exception of its own for each request, with its stack, takes longer than the rest of ending it. */
const over = new Error('the request is over');

export interface HttpRequest {
  readonly method: string;
  readonly host: string;
  /** With the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Sent in order, with the sum as Content-Length. They belong to the call until it settles. */
  readonly body?: readonly Uint8Array[] | undefined;
  /** For the body of the answer: exactly as long as it must be, or absent for an answer of text. May throw. */
  readonly into?: ((status: number, headers: HttpHeaders) => Uint8Array | undefined) | undefined;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: HttpHeaders;
  readonly body: Uint8Array;
}

export interface HttpExchangeOptions {
  readonly tls: boolean;
  /** PEM; absent: the authorities that Node carries. */
  readonly ca?: string | undefined;
  /** Where a proxy is named; absent: there is none. */
  readonly proxies?: ProxyVariables | undefined;
}

/** How a server is reached. */
interface Route {
  readonly address: ServerAddress;
  readonly proxy: Proxy | undefined;
}

interface Idle {
  readonly connection: HttpConnection;
  readonly sinceMs: number;
}

export class HttpExchange implements Disposable {
  readonly #clock: Clock;
  readonly #options: HttpExchangeOptions;
  readonly #slots = new Semaphore(requestsMax);
  readonly #connections = new Set<HttpConnection>();
  /** By host, the last used at the end. */
  readonly #idle = new Map<string, Idle[]>();
  readonly #routes = new Map<string, Route>();
  /** Whether a server has ever answered: its TLS is understood, and its certificate was trusted. */
  #answered = false;
  readonly #closing = new AbortController();

  constructor({ clock }: { readonly clock: Clock }, options: HttpExchangeOptions) {
    this.#clock = clock;
    this.#options = options;
  }

  /**
   * @throws {BlobError} `blob-unavailable`, `blob-tls`, `blob-proxy`, and what `into` throws
   * @throws the signal's reason; the connection is closed then, and nothing is written into a buffer any more
   */
  async send(call: HttpRequest, { signal }: { readonly signal: AbortSignal }): Promise<HttpAnswer> {
    using _slot = await this.#slots.acquire(1, { signal });
    signal.throwIfAborted();
    const route = this.#routeTo(call.host);
    const connection = this.#idleTo(call.host) ?? (await this.#connect(route, signal));
    if (signal.aborted || this.#closing.signal.aborted) {
      this.#connections.delete(connection);
      connection.close(over);
      throw abortReason(signal.aborted ? signal : this.#closing.signal);
    }
    const abort = (): void => connection.close(abortReason(signal));
    signal.addEventListener('abort', abort, { once: true });
    const ended = new AbortController();
    const answer = new Answer(call.into);
    this.#watch(connection, answer, ended.signal);
    try {
      await connection.exchange({
        ...addressed(call, route),
        body: call.body ?? [],
        onHead: (head) => {
          checkForwarded(head, call.host, route);
          this.#answered = true;
          answer.begin(head);
        },
        onBody: (piece) => answer.add(piece),
        onMoved: (bytes) => (answer.movedBytes += bytes),
      });
      return answer.whole();
    } catch (error) {
      throw signal.aborted ? abortReason(signal) : transportError(error, { answered: this.#answered, route });
    } finally {
      ended.abort(over);
      signal.removeEventListener('abort', abort);
      this.#giveBack(call.host, connection);
    }
  }

  /** Closes all connections. */
  [Symbol.dispose](): void {
    const reason = new BlobError('blob-unavailable', 'the store was closed');
    this.#closing.abort(reason);
    for (const connection of this.#connections) connection.close(reason);
    this.#idle.clear();
  }

  #routeTo(host: string): Route {
    const known = this.#routes.get(host);
    if (known !== undefined) return known;
    const { tls, ca, proxies } = this.#options;
    const [name, port = tls ? 443 : 80] = splitHost(host);
    const address = { host: name, port, ...(tls && { tls: { ca } }) };
    const route = { address, proxy: proxies && findProxy(address, proxies) };
    this.#routes.set(host, route);
    return route;
  }

  #idleTo(host: string): HttpConnection | undefined {
    const idle = this.#idle.get(host) ?? [];
    for (let found = idle.pop(); found !== undefined; found = idle.pop()) {
      const { connection, sinceMs } = found;
      if (connection.free && this.#clock.monotonicMs() - sinceMs < idleMsMax) return connection;
      this.#connections.delete(connection);
      connection.close(over);
    }
    return undefined;
  }

  async #connect({ address, proxy }: Route, signal: AbortSignal): Promise<HttpConnection> {
    let tunnel: Socket | undefined;
    if (proxy !== undefined && address.tls !== undefined) {
      const either = AbortSignal.any([signal, this.#closing.signal]);
      tunnel = await openTunnel(proxy, address, { clock: this.#clock, signal: either });
    }
    const made = new HttpConnection(tunnel === undefined ? (proxy ?? address) : address, {
      clock: this.#clock,
      tunnel,
    });
    this.#connections.add(made);
    return made;
  }

  #giveBack(host: string, connection: HttpConnection): void {
    if (!connection.free) {
      this.#connections.delete(connection);
      return;
    }
    const idle = this.#idle.get(host) ?? [];
    idle.push({ connection, sinceMs: this.#clock.monotonicMs() });
    this.#idle.set(host, idle);
  }

  #watch(connection: HttpConnection, answer: Answer, ended: AbortSignal): void {
    const watching = async (): Promise<void> => {
      for (;;) {
        const before = answer.movedBytes;
        await this.#clock.sleep(stallMs, { signal: ended });
        if (answer.movedBytes - before < stallBytesMin) {
          connection.close(
            new BlobError('blob-unavailable', `hardly anything has moved for ${stallMs / 1000} seconds`),
          );
        }
      }
    };
    // It ends with the request.
    watching().catch(() => undefined);
  }
}

/** The answer to one request, as far as it has come. */
class Answer {
  /** Of both directions; the head of an answer counts as enough for a while. */
  movedBytes = 0;
  readonly #into: HttpRequest['into'];
  #head: HttpHead = { status: 0, headers: {} };
  #target: Uint8Array | undefined;
  readonly #pieces: Uint8Array[] = [];
  #at = 0;

  constructor(into: HttpRequest['into']) {
    this.#into = into;
  }

  begin(head: HttpHead): void {
    this.movedBytes += stallBytesMin;
    this.#head = head;
    this.#target = this.#into?.(head.status, head.headers);
  }

  add(piece: Uint8Array): void {
    if (this.#at + piece.length > (this.#target?.length ?? textBytesMax)) {
      throw new BlobError('blob-unavailable', 'the answer is longer than it should be');
    }
    if (this.#target === undefined) this.#pieces.push(Buffer.from(piece));
    else this.#target.set(piece, this.#at);
    this.#at += piece.length;
  }

  whole(): HttpAnswer {
    const target = this.#target;
    if (target !== undefined && this.#at !== target.length) {
      throw new BlobError('blob-unavailable', `the answer ended after ${this.#at} of ${target.length} bytes`);
    }
    return { ...this.#head, body: target ?? Buffer.concat(this.#pieces) };
  }
}

/** Requests that may have a body have its length, be it 0. */
function withLength({ method, headers, body }: HttpRequest): Readonly<Record<string, string>> {
  if (body === undefined && method !== 'PUT' && method !== 'POST') return headers;
  const length = (body ?? []).reduce((sum, piece) => sum + piece.length, 0);
  return { ...headers, 'content-length': String(length) };
}

/** Records that cannot be read: no TLS at all, or, where the server has spoken it before, damage on the way. */
const recordErrors = /ERR_SSL|EPROTO/;

function transportError(
  error: unknown,
  { answered, route: { address, proxy } }: { readonly answered: boolean; readonly route: Route },
): unknown {
  if (error instanceof BlobError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (proxy !== undefined && address.tls === undefined) return proxyFailure(proxy, error);
  if (isUntrusted(error) || (recordErrors.test(code) && !answered)) {
    const shown = proxy === undefined ? '' : `; ${proxy.description} may show a certificate of its own`;
    return new BlobError('blob-tls', `the server cannot be trusted${shown}`, { cause: error });
  }
  const through = proxy === undefined ? '' : ` through ${proxy.description}`;
  return new BlobError('blob-unavailable', `the connection${through} failed`, { cause: error });
}

/** A request without TLS is handed to the proxy whole, with the server's name in it (RFC 9112, section 3.2.2). */
function addressed(call: HttpRequest, { address, proxy }: Route): Pick<HttpRequest, 'method' | 'path' | 'headers'> {
  const { method, host, path } = call;
  const headers = withLength(call);
  if (proxy === undefined || address.tls !== undefined) return { method, path, headers };
  const { authorization } = proxy;
  return {
    method,
    path: `http://${host}${path}`,
    headers: { ...headers, ...(authorization !== undefined && { 'proxy-authorization': authorization }) },
  };
}

/** @throws {BlobError} `blob-proxy`: these are the words of the proxy; S3 never says 407, and forbids in XML */
function checkForwarded({ status, headers }: HttpHead, host: string, { address, proxy }: Route): void {
  if (proxy === undefined || address.tls !== undefined) return;
  const isPage = headers['content-type']?.startsWith('text/html') === true;
  if (status === 407 || (status === 403 && isPage)) throw proxyRefusal(proxy, { status, target: host });
}

/** `host`, `host:port`, `[::1]:port`. */
function splitHost(host: string): [string, number | undefined] {
  const match = /^(?:\[(.+)\]|([^:]*))(?::(\d+))?$/.exec(host);
  return [match?.[1] ?? match?.[2] ?? host, match?.[3] === undefined ? undefined : Number(match[3])];
}
