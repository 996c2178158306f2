/**
 * A link that counts: forwards HTTP requests to a port as they are, so that two programs are counted alike. A program of
 * its own: `node count-proxy.ts PORT` prints the port that it listens on; what `GET /counts` answers is its own, and begins
 * the count anew.
 */
import { createServer, request, Agent } from 'node:http';
import type { AddressInfo } from 'node:net';

const upstream = Number(process.argv[2]);
const agent = new Agent({ keepAlive: true });
let counts: Record<string, number> = {};

function add(name: string, by: number): void {
  counts[name] = (counts[name] ?? 0) + by;
}

const server = createServer((near, answer) => {
  const { method = '', url = '', headers } = near;
  if (url === '/counts') {
    answer.end(JSON.stringify(counts));
    counts = {};
    return;
  }
  add(method, 1);
  const far = request({ host: '127.0.0.1', port: upstream, method, path: url, headers, agent }, (reply) => {
    answer.writeHead(reply.statusCode ?? 502, reply.headers);
    reply.on('data', (piece: Buffer) => add('bytes', piece.length));
    reply.pipe(answer);
  });
  far.on('error', () => answer.destroy());
  near.on('data', (piece: Buffer) => add('bytes', piece.length));
  near.pipe(far);
});
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));
