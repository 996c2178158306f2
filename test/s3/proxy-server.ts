/**
 * A proxy: CONNECT for what speaks TLS, whole requests for what does not. Names that end in `.dray.test` are this machine, as a
 * proxy may know names that its clients do not.
 */
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { connect, type Socket } from 'node:net';
import { certificateFile, certificateKeyFile } from '../peers/s3-servers.ts';
import { listenHere } from '../support/listen-here.ts';

export interface ProxyServerOptions {
  /** Whether it speaks TLS itself. */
  readonly tls?: boolean;
  /** `user:password` that it asks for. */
  readonly credentials?: string;
  /** Instead of what it would do. */
  readonly status?: number;
}

export interface ProxyServer extends AsyncDisposable {
  readonly port: number;
  /** As for HTTPS_PROXY, without credentials. */
  readonly url: string;
  /** First lines of requests, such as `CONNECT host:443`. */
  readonly asked: readonly string[];
  /** Headers of the requests that were handed to it whole, as the server got them. */
  readonly passedOn: readonly IncomingMessage['headers'][];
}

export async function startProxy({ tls = false, credentials, status }: ProxyServerOptions = {}): Promise<ProxyServer> {
  const asked: string[] = [];
  const passedOn: IncomingMessage['headers'][] = [];
  const sockets = new Set<Socket>();
  const server = tls
    ? createSecureServer({ cert: readFileSync(certificateFile), key: readFileSync(certificateKeyFile) })
    : createServer();
  const refusal = ({ headers }: IncomingMessage): number | undefined => {
    const wanted = credentials && `Basic ${Buffer.from(credentials).toString('base64')}`;
    return wanted !== undefined && headers['proxy-authorization'] !== wanted ? 407 : status;
  };
  server.on('connection', (socket: Socket) => sockets.add(socket.on('error', () => socket.destroy())));
  server.on('connect', (message: IncomingMessage, client: Socket) => {
    asked.push(`CONNECT ${message.url}`);
    const refused = refusal(message);
    // With a body, as proxies have it.
    if (refused !== undefined) return void client.end(`HTTP/1.1 ${refused} No\r\ncontent-length: 4\r\n\r\n<no>`);
    const way = connect(addressOf(message.url ?? ''), () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      way.pipe(client).pipe(way);
    });
    sockets.add(way);
    way.on('error', () => client.destroy()).on('close', () => client.destroy());
    client.on('error', () => way.destroy()).on('close', () => way.destroy());
  });
  server.on('request', (message: IncomingMessage, response: ServerResponse) => {
    asked.push(`${message.method} ${message.url}`);
    const refused = refusal(message);
    if (refused !== undefined) return void response.writeHead(refused, { 'content-type': 'text/html' }).end('<no>');
    const url = new URL(message.url ?? '');
    const { 'proxy-authorization': _secret, ...headers } = message.headers;
    passedOn.push(headers);
    const { method = '' } = message;
    const target = { ...addressOf(url.host), method, path: `${url.pathname}${url.search}`, headers };
    const onward = request(target, (answer) => {
      response.writeHead(answer.statusCode ?? 0, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    message.pipe(onward);
  });
  const port = await listenHere(server);
  return {
    port,
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    asked,
    passedOn,
    [Symbol.asyncDispose]: async () => {
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      for (const socket of sockets) socket.destroy();
      await closed.promise;
    },
  };
}

function addressOf(target: string): { readonly host: string; readonly port: number } {
  const { hostname, port } = new URL(`http://${target}`);
  return { host: hostname.endsWith('.dray.test') ? '127.0.0.1' : hostname, port: Number(port || 80) };
}
