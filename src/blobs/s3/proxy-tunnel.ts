/**
 * A way through a proxy to a server (CONNECT, RFC 9110, section 9.3.6). The proxy learns the name of the server and a number
 * of bytes; what goes through is TLS between this program and the server.
 */
import { connect, isIP, isIPv6, type Socket } from 'node:net';
import { connect as connectSecurely } from 'node:tls';
import { abortReason } from '../../std/abort.ts';
import type { Clock } from '../../std/clock.ts';
import { type ServerAddress, socketOptions } from './http-connection.ts';
import { type HttpHead, ResponseReader } from './http-response.ts';
import { type Proxy, proxyFailure, proxyRefusal } from './proxy.ts';

/** A proxy that tries a server which is not there says so after a while of its own; most take less. */
const waitMs = 60_000;

export interface TunnelOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * @returns a connected socket on which the server listens; nothing has been read from it but the proxy's answer
 * @throws {BlobError} `blob-proxy`, `blob-unavailable`, each naming the proxy; or the signal's reason
 */
export async function openTunnel(
  proxy: Proxy,
  { host, port }: ServerAddress,
  { clock, signal }: TunnelOptions,
): Promise<Socket> {
  signal.throwIfAborted();
  const target = `${isIPv6(host) ? `[${host}]` : host}:${port}`;
  const socket = connectTo(proxy);
  const { promise: head, resolve, reject } = Promise.withResolvers<HttpHead>();
  const reader = new ResponseReader(
    { onHead: resolve, onBody: () => undefined, onEnd: () => undefined },
    { method: 'CONNECT' },
  );
  const fail = (cause?: unknown): void => reject(proxyFailure(proxy, cause));
  const read = (bytes: Buffer): void => {
    try {
      reader.push(bytes);
    } catch (error) {
      fail(error);
    }
  };
  const abort = (): void => reject(abortReason(signal));
  const ended = new AbortController();
  clock.sleep(waitMs, { signal: ended.signal }).then(fail, () => undefined);
  signal.addEventListener('abort', abort, { once: true });
  socket.on('error', fail).on('close', fail).on('data', read);
  try {
    socket.write(connectRequest(proxy, target), 'latin1');
    const { status } = await head;
    if (status < 200 || status > 299) throw proxyRefusal(proxy, { status, target });
    return socket.pause();
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    ended.abort();
    signal.removeEventListener('abort', abort);
    socket.off('close', fail).off('data', read);
  }
}

function connectTo({ host, port, tls }: Proxy): Socket {
  if (tls === undefined) return connect({ ...socketOptions, host, port });
  return connectSecurely({ ...socketOptions, host, port, servername: isIP(host) === 0 ? host : '' });
}

function connectRequest({ authorization }: Proxy, target: string): string {
  const credentials = authorization === undefined ? '' : `Proxy-Authorization: ${authorization}\r\n`;
  return `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${credentials}\r\n`;
}
