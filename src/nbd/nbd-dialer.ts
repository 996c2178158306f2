/** Connects to a server, over TCP or a Unix socket, with TLS where the address says so, and agrees with it on an export. */
import { readFile } from 'node:fs/promises';
import { connect, isIP, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectSecurely } from 'node:tls';

import { isErrno } from '../std/atomic-write.ts';
import type { Clock } from '../std/clock.ts';
import { negotiate, type Negotiated } from './handshake.ts';
import { NbdError } from './nbd-error.ts';
import { canonicalNbdUrl, type NbdTls, type NbdUrl } from './nbd-url.ts';

const keepAliveProbeMs = 15_000;

export interface DialOptions {
  /** As in a handshake. */
  readonly contexts: readonly string[];
  readonly listPrefix?: string | undefined;
  /** Until the export can be read: a server whose places are all taken lets one connect, and then says nothing. */
  readonly connectMs: number;
  readonly signal: AbortSignal;
}

/**
 * @returns a paused socket, which is the caller's, with a listener for errors so that none ends the process
 * @throws {NbdError} `nbd-unreachable`, `nbd-tls`, `nbd-refused`, `nbd-export-missing`, `nbd-protocol`
 */
export async function dial(url: NbdUrl, clock: Clock, options: DialOptions): Promise<Negotiated> {
  const { contexts, listPrefix, connectMs, signal } = options;
  signal.throwIfAborted();
  const late = new AbortController();
  const ended = new AbortController();
  const within = AbortSignal.any([signal, late.signal]);
  const { server } = url;
  const target = 'socketPath' in server ? { path: server.socketPath } : { host: server.host, port: server.port };
  const socket = connect({ ...target, noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveProbeMs });
  socket.on('error', () => undefined);
  const giveUp = (): void => void socket.destroy(new Error('given up'));
  within.addEventListener('abort', giveUp, { once: true });
  const watch = clock.sleep(connectMs, { signal: ended.signal }).then(
    () => late.abort(new NbdError('nbd-unreachable', `no answer within ${connectMs / 1000} s`)),
    () => undefined,
  );
  try {
    await connected(socket, 'connect');
    const { exportName, tls } = url;
    const secure =
      tls && (async (clear: Socket) => await secured(clear, tls, 'host' in server ? server.host : 'localhost'));
    return await negotiate(socket, { exportName, contexts, listPrefix, secure });
  } catch (error) {
    socket.destroy();
    signal.throwIfAborted();
    const cause: unknown = late.signal.aborted ? late.signal.reason : error;
    throw new NbdError(
      cause instanceof NbdError ? cause.code : 'nbd-unreachable',
      `connect to ${canonicalNbdUrl(url)}`,
      { cause },
    );
  } finally {
    within.removeEventListener('abort', giveUp);
    ended.abort(new Error('connected, or not'));
    await watch;
  }
}

/** Resolves with the event; rejects with what keeps it from coming. */
async function connected(socket: Socket, event: 'connect' | 'secureConnect'): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const closed = (): void => reject(new NbdError('nbd-unreachable', 'the server closed the connection'));
  socket.once(event, resolve).once('error', reject).once('close', closed);
  try {
    await promise;
  } finally {
    socket.off(event, resolve).off('error', reject).off('close', closed);
  }
}

async function secured(clear: Socket, { certificates, hostname }: NbdTls, host: string): Promise<Socket> {
  const name = hostname ?? host;
  const trust = certificates === undefined ? {} : await certificatesIn(certificates);
  try {
    const socket = connectSecurely({ ...trust, socket: clear, host: name, servername: isIP(name) === 0 ? name : '' });
    socket.on('error', () => undefined);
    await connected(socket, 'secureConnect');
    return socket;
  } catch (error) {
    throw new NbdError('nbd-tls', `no TLS with ${name}`, { cause: error });
  }
}

async function certificatesIn(
  folder: string,
): Promise<{ readonly ca: Buffer; readonly cert?: Buffer; readonly key?: Buffer }> {
  try {
    const ca = await readFile(join(folder, 'ca-cert.pem'));
    const cert = await ifThere(join(folder, 'client-cert.pem'));
    const key = await ifThere(join(folder, 'client-key.pem'));
    if (cert === undefined && key === undefined) return { ca };
    if (cert === undefined || key === undefined) {
      throw new Error(
        `of client-cert.pem and client-key.pem only ${cert === undefined ? 'the key' : 'the certificate'} is there`,
      );
    }
    return { ca, cert, key };
  } catch (error) {
    throw new NbdError('nbd-tls', `read the certificates in ${folder}`, { cause: error });
  }
}

async function ifThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}
