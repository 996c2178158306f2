/** A bit that flips on the way to a server that was trusted before is a bad connection, and no reason to give the store up. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { createServer as createSecureServer } from 'node:tls';
import { HttpExchange } from '../../src/blobs/s3/http-exchange.ts';
import { systemClock as clock } from '../../src/std/clock.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { certificateFile, certificateKeyFile } from '../peers/s3-servers.ts';
import { listenHere } from '../support/listen-here.ts';

const { signal } = new AbortController();
const head = 'HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n';

async function listening(server: Server): Promise<number> {
  const port = await listenHere(server);
  server.unref();
  return port;
}

/** Hands on what two sides say, and flips a bit of what the server says at `flipAt`, counted anew for each connection. */
async function proxyTo(port: number): Promise<{ readonly host: string; flipAt: number }> {
  const proxy = createServer((client) => {
    const server = connect(port, '127.0.0.1');
    let done = 0;
    client.on('error', () => server.destroy()).on('close', () => server.destroy());
    server.on('error', () => client.destroy()).on('close', () => client.destroy());
    client.pipe(server);
    server.on('data', (bytes: Buffer) => {
      const at = told.flipAt - done;
      if (at >= 0 && at < bytes.length) bytes[at]! ^= 1;
      done += bytes.length;
      client.write(bytes);
    });
  });
  const told = { host: `127.0.0.1:${await listening(proxy)}`, flipAt: -1 };
  return told;
}

test('http exchange > a damaged record of a server that has answered before may be tried again', async () => {
  const [cert, key] = await Promise.all([readFile(certificateFile), readFile(certificateKeyFile)]);
  const server = createSecureServer({ cert, key }, (socket) => {
    socket.on('error', () => undefined);
    socket.on('data', () => socket.write(Buffer.concat([Buffer.from(head), Buffer.alloc(1_000_000, 1)])));
  });
  const proxy = await proxyTo(await listening(server));
  const ca = await readFile(join(certificateFile, '..', 'ca.pem'), 'latin1');
  const get = async (exchange: HttpExchange): Promise<number> => {
    const call = { method: 'GET', host: proxy.host, path: '/', headers: {} };
    return (await exchange.send(call, { signal })).body.length;
  };
  using exchange = new HttpExchange({ clock }, { tls: true, ca });
  assert.equal(await get(exchange), 1_000_000);
  exchange[Symbol.dispose]();
  for (const flipAt of [500_000, 1_000]) {
    proxy.flipAt = flipAt;
    await assert.rejects(get(exchange), (error) => hasCode(error, 'blob-unavailable'));
  }
  // Who has never been understood may be no server for TLS.
  using unknown = new HttpExchange({ clock }, { tls: true, ca });
  await assert.rejects(get(unknown), (error) => hasCode(error, 'blob-tls'));
});
