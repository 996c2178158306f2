/**
 * One HTTP request and its answer, over connections that are kept. `node:http` and not `fetch`: bodies go out and come in
 * without a copy, and nothing is retried, redirected or unpacked in secret. Every wait has an end: a request that moves too
 * few bytes for a minute, in either direction, fails. What fails here is `blob-unavailable`, because it may pass, but for
 * a certificate that is not trusted (`blob-tls`). Whether a request that failed was carried out is unknown.
 */
import {
  Agent as HttpAgent,
  type ClientRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
} from 'node:http';
import { Agent as HttpsAgent, request as secureRequest } from 'node:https';
import { abortReason } from '../../std/abort.ts';
import type { Clock } from '../../std/clock.ts';
import { Semaphore } from '../../std/semaphore.ts';
import { BlobError } from '../blob-store.ts';

/** Requests of one store, which is of one thread, that may be under way at once; more of them wait. */
const requestsMax = 32;
/** Answers that are not written into a buffer of the caller: listings of 1,000 names, errors. */
const textBytesMax = 8 * 1024 * 1024;
/** A piece of a body that counts as moved when the socket has taken it. */
const sliceBytes = 256 * 1024;
/** What must move in each minute: a hundred times slower than a telephone line with a modem is no link. */
const stallMs = 60_000;
const stallBytesMin = 4 * 1024;

export interface HttpRequest {
  readonly method: string;
  readonly host: string;
  /** With the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Sent in order, with the sum as Content-Length. They belong to the call until it settles. */
  readonly body?: readonly Uint8Array[] | undefined;
  /** For the body of the answer: exactly as long as it must be, or absent for an answer of text. May throw. */
  readonly into?: ((status: number, headers: IncomingHttpHeaders) => Uint8Array | undefined) | undefined;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Uint8Array;
}

export interface HttpExchangeOptions {
  readonly tls: boolean;
  /** PEM; absent: the authorities that Node carries. */
  readonly ca?: string | undefined;
}

export class HttpExchange implements Disposable {
  readonly #clock: Clock;
  readonly #agent: HttpAgent | HttpsAgent;
  readonly #tls: boolean;
  readonly #slots = new Semaphore(requestsMax);

  constructor({ clock }: { readonly clock: Clock }, { tls, ca }: HttpExchangeOptions) {
    this.#clock = clock;
    this.#tls = tls;
    const kept = { keepAlive: true, maxFreeSockets: requestsMax, scheduling: 'lifo' } as const;
    this.#agent = tls ? new HttpsAgent({ ...kept, ...(ca !== undefined && { ca }) }) : new HttpAgent(kept);
  }

  /**
   * @throws {BlobError} `blob-unavailable`, `blob-tls`, and what `into` throws
   * @throws the signal's reason; the connection is closed then, and nothing is written into a buffer any more
   */
  async send(call: HttpRequest, { signal }: { readonly signal: AbortSignal }): Promise<HttpAnswer> {
    using _slot = await this.#slots.acquire(1, { signal });
    signal.throwIfAborted();
    const [host, port] = splitHost(call.host);
    const length = (call.body ?? []).reduce((sum, piece) => sum + piece.length, 0);
    const headers = call.body === undefined ? call.headers : { ...call.headers, 'content-length': String(length) };
    const options = { method: call.method, host, port, path: call.path, headers, agent: this.#agent };
    const sent = (this.#tls ? secureRequest : request)(options);
    const flow = new Flow(sent);
    const abort = (): void => flow.fail(abortReason(signal));
    signal.addEventListener('abort', abort, { once: true });
    const ended = new AbortController();
    this.#watch(flow, ended.signal);
    try {
      return await flow.run(call);
    } catch (error) {
      throw signal.aborted ? abortReason(signal) : transportError(error);
    } finally {
      ended.abort();
      signal.removeEventListener('abort', abort);
    }
  }

  /** Closes all connections. */
  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  #watch(flow: Flow, ended: AbortSignal): void {
    const watching = async (): Promise<void> => {
      for (;;) {
        const before = flow.movedBytes;
        await this.#clock.sleep(stallMs, { signal: ended });
        if (flow.movedBytes - before < stallBytesMin) {
          flow.fail(new BlobError('blob-unavailable', `hardly anything has moved for ${stallMs / 1000} seconds`));
        }
      }
    };
    // It ends with the request.
    watching().catch(() => undefined);
  }
}

/** One request under way. */
class Flow {
  /** Of both directions; the head of an answer counts as enough for a while. */
  movedBytes = 0;
  readonly #sent: ClientRequest;
  readonly #answer = Promise.withResolvers<HttpAnswer>();
  #failed = false;

  constructor(sent: ClientRequest) {
    this.#sent = sent;
    sent.on('error', (error) => this.fail(error));
    // After an answer this comes too, and changes nothing.
    sent.on('close', () => this.fail(new BlobError('blob-unavailable', 'the connection was closed without an answer')));
  }

  async run({ body = [], into }: HttpRequest): Promise<HttpAnswer> {
    this.#sent.on('response', (response) => {
      this.movedBytes += stallBytesMin;
      this.#receive(response, into);
    });
    const sending = this.#send(body);
    sending.catch((error: unknown) => this.fail(error));
    const answer = await this.#answer.promise;
    // An answer that came before the whole body was sent is a refusal; that connection is of no use any more.
    if (!this.#sent.writableFinished) this.#sent.destroy();
    return answer;
  }

  fail(error: unknown): void {
    this.#failed = true;
    this.#answer.reject(error);
    this.#sent.destroy();
  }

  async #send(body: readonly Uint8Array[]): Promise<void> {
    for (const piece of body) {
      for (let at = 0; at < piece.length; at += sliceBytes) {
        if (this.#sent.destroyed) return;
        const slice = piece.subarray(at, at + sliceBytes);
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        this.#sent.write(slice, (error) => (error ? reject(error) : resolve()));
        await promise;
        this.movedBytes += slice.length;
      }
    }
    this.#sent.end();
  }

  #receive(response: IncomingMessage, into: HttpRequest['into']): void {
    const { statusCode: status = 0, headers } = response;
    let target: Uint8Array | undefined;
    try {
      target = into?.(status, headers);
    } catch (error) {
      this.fail(error);
      return;
    }
    const pieces: Uint8Array[] = [];
    let at = 0;
    response.on('data', (piece: Buffer) => {
      if (this.#failed) return;
      this.movedBytes += piece.length;
      if (at + piece.length > (target?.length ?? textBytesMax)) {
        this.fail(new BlobError('blob-unavailable', 'the answer is longer than it should be'));
        return;
      }
      if (target === undefined) pieces.push(piece);
      else target.set(piece, at);
      at += piece.length;
    });
    response.on('error', (error) => this.fail(error));
    response.on('end', () => {
      if (target !== undefined && at !== target.length) {
        this.fail(new BlobError('blob-unavailable', `the answer ended after ${at} of ${target.length} bytes`));
        return;
      }
      this.#answer.resolve({ status, headers, body: target ?? Buffer.concat(pieces) });
    });
  }
}

/** What OpenSSL and Node call a certificate that they do not trust, or something that does not speak TLS. */
const tlsErrors = /CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS|ERR_SSL|EPROTO|HOSTNAME_MISMATCH/;

function transportError(error: unknown): unknown {
  if (error instanceof BlobError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (tlsErrors.test(code)) return new BlobError('blob-tls', 'the server cannot be trusted', { cause: error });
  return new BlobError('blob-unavailable', 'the connection failed', { cause: error });
}

/** `host`, `host:port`, `[::1]:port`. */
function splitHost(host: string): [string, number | undefined] {
  const match = /^(?:\[(.+)\]|([^:]*))(?::(\d+))?$/.exec(host);
  return [match?.[1] ?? match?.[2] ?? host, match?.[3] === undefined ? undefined : Number(match[3])];
}
