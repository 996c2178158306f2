/**
 * One connection to a server, over which requests go one after the other. All that arrives is read into the same buffer and
 * handed on from there: with a fresh buffer for each 16 KiB, and streams between, as `node:http` has them, receiving takes
 * more than twice the processor's time. What fails closes the connection, and whether the request was carried out is unknown.
 */
import assert from 'node:assert/strict';
import { connect, isIP, type Socket, type TcpNetConnectOpts } from 'node:net';
import { connect as connectSecurely } from 'node:tls';
import type { Clock } from '../../std/clock.ts';
import { BlobError } from '../blob-store.ts';
import { type HttpHead, ResponseReader } from './http-response.ts';

/** A TLS record holds 16 KiB, and is all that is read at once; without TLS there may be more. */
const readBytes = 64 * 1024;
/**
 * A piece of a body counts as moved when the kernel has taken all of it; Node tells nothing in between. Long ones cost less, and
 * on a slow link take longer than a stall is waited for: so they are short until a link has shown that it is not slow.
 */
const sliceBytesMax = 256 * 1024;
const sliceBytesMin = 16 * 1024;
/** It is measured over so much, which is more than what the kernel takes without sending it on a slow link. */
const pacedBytes = 1024 * 1024;
const pacedMsMax = 8_000;
const keepAliveProbeMs = 30_000;

/** Of all sockets to a server or its proxy. */
export const socketOptions: Pick<TcpNetConnectOpts, 'keepAlive' | 'keepAliveInitialDelay' | 'noDelay'> = {
  keepAlive: true,
  keepAliveInitialDelay: keepAliveProbeMs,
  noDelay: true,
};

export interface ServerAddress {
  readonly host: string;
  readonly port: number;
  /** Absent: no TLS. `ca`: PEM; absent: the authorities that Node carries. */
  readonly tls?: { readonly ca?: string | undefined } | undefined;
}

export interface ConnectionParts {
  readonly clock: Clock;
  /** A way to the server through a proxy, for TLS; it belongs to the connection. */
  readonly tunnel?: Socket | undefined;
}

export interface ConnectionCall {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Sent in order. They belong to the call until it settles. */
  readonly body: readonly Uint8Array[];
  readonly onHead: (head: HttpHead) => void;
  /** A piece of the body of the answer, good until this returns. */
  readonly onBody: (piece: Uint8Array) => void;
  /** Told of what has moved, in either direction. */
  readonly onMoved: (bytes: number) => void;
}

interface Current {
  readonly reader: ResponseReader;
  readonly onMoved: (bytes: number) => void;
  readonly done: PromiseWithResolvers<void>;
}

export class HttpConnection {
  readonly #socket: Socket;
  readonly #tunnel: Socket | undefined;
  readonly #clock: Clock;
  #sliceBytes = sliceBytesMin;
  #current: Current | undefined;
  #closed = false;

  constructor({ host, port, tls }: ServerAddress, { clock, tunnel }: ConnectionParts) {
    this.#clock = clock;
    const onread = {
      buffer: Buffer.allocUnsafeSlow(readBytes),
      callback: (bytes: number, buffer: Uint8Array) => this.#read(bytes, buffer),
    };
    const options = { host, port, onread, ...socketOptions };
    const secured = tls && {
      ...(tls.ca !== undefined && { ca: tls.ca }),
      servername: isIP(host) === 0 ? host : '',
    };
    assert(tunnel === undefined || secured !== undefined);
    this.#tunnel = tunnel;
    if (secured === undefined) this.#socket = connect(options);
    else if (tunnel === undefined) this.#socket = connectSecurely({ ...options, ...secured });
    else this.#socket = connectSecurely({ ...secured, host, socket: tunnel });
    // Node reads into one buffer only from sockets that it has connected for this.
    if (tunnel !== undefined) this.#socket.on('data', (bytes: Buffer) => this.#readPiece(bytes));
    this.#socket.on('error', (error) => this.close(error));
    this.#socket.on('end', () => this.#ended());
    this.#socket.on('close', () => this.#ended());
  }

  /** Whether another request may be sent: nothing is under way, and the other side has not closed. */
  get free(): boolean {
    return !this.#closed && this.#current === undefined;
  }

  /**
   * Resolves when the answer is complete. The connection is free then, or closed, when it is of no more use.
   * @throws what the socket or a callback throws, or the reason that `close` was given; nothing is called back any more
   */
  async exchange(call: ConnectionCall): Promise<void> {
    assert(this.free);
    const { method, onHead, onBody, onMoved } = call;
    const done = Promise.withResolvers<void>();
    const reader = new ResponseReader({ onHead, onBody, onEnd: () => done.resolve() }, { method });
    this.#current = { reader, onMoved, done };
    this.#socket.ref();
    this.#tunnel?.ref();
    let sent = false;
    const sending = this.#send(call).then(() => (sent = true));
    sending.catch((error: unknown) => this.close(error));
    await done.promise;
    this.#current = undefined;
    // An answer that came before the whole body was sent is a refusal; that connection is of no use any more.
    if (!sent || !reader.reusable) return this.close(new Error('the connection is of no more use'));
    // What is kept for later holds up no program that is done.
    this.#socket.unref();
    this.#tunnel?.unref();
  }

  /** Fails what is under way. Harmless when it is closed already. */
  close(reason: unknown): void {
    this.#closed = true;
    this.#current?.done.reject(reason);
    this.#current = undefined;
    this.#socket.destroy();
    this.#tunnel?.destroy();
  }

  async #send({ method, path, headers, body }: ConnectionCall): Promise<void> {
    const lines = [
      `${method} ${path} HTTP/1.1`,
      ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    ];
    // What ends a line in the middle would be a header, or a request, of whoever has chosen the name.
    if (lines.some((line) => /[^\t\x20-\x7e]/.test(line))) {
      throw new BlobError('blob-unavailable', 'a name that cannot stand in a request');
    }
    this.#socket.cork();
    this.#socket.write(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
    process.nextTick(() => this.#socket.uncork());
    let [sinceMs, bytes] = [this.#clock.monotonicMs(), 0];
    for (const piece of body) {
      for (let at = 0, end = 0; at < piece.length; at = end) {
        if (this.#closed) return;
        end = Math.min(at + this.#sliceBytes, piece.length);
        await this.#write(piece.subarray(at, end));
        bytes += end - at;
        if (bytes < pacedBytes) continue;
        const nowMs = this.#clock.monotonicMs();
        this.#sliceBytes = nowMs - sinceMs < pacedMsMax ? sliceBytesMax : sliceBytesMin;
        [sinceMs, bytes] = [nowMs, 0];
      }
    }
  }

  async #write(slice: Uint8Array): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#socket.write(slice, (error) => (error ? reject(error) : resolve()));
    await promise;
    this.#current?.onMoved(slice.length);
  }

  /** @returns whether to go on reading */
  #read(bytes: number, buffer: Uint8Array): boolean {
    return this.#readPiece(Buffer.from(buffer.buffer, buffer.byteOffset, bytes));
  }

  #readPiece(bytes: Buffer): boolean {
    if (this.#closed) return false;
    if (this.#current === undefined) {
      // Bytes that no request has asked for.
      this.close(new Error('the server speaks out of turn'));
      return false;
    }
    try {
      this.#current.onMoved(bytes.length);
      this.#current.reader.push(bytes);
    } catch (error) {
      this.close(error);
    }
    return !this.#closed;
  }

  #ended(): void {
    if (this.#closed) return;
    const current = this.#current;
    try {
      current?.reader.close();
      this.close(new BlobError('blob-unavailable', 'the connection was closed without an answer'));
    } catch (error) {
      this.close(error);
    }
  }
}

/** What OpenSSL and Node call a certificate that they do not trust. */
const certificateErrors = /CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS|HOSTNAME_MISMATCH/;

/** Whether a connection failed because the other side's certificate is not trusted. */
export function isUntrusted(error: unknown): boolean {
  return error instanceof Error && 'code' in error && certificateErrors.test(String(error.code));
}
