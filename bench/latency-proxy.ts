/**
 * A link with latency: forwards TCP connections to a port, every piece half a round trip later, in order and without a limit
 * of its own on the rate. A program of its own, so that it takes its time elsewhere: `node latency-proxy.ts PORT ROUND_TRIP_MS`
 * prints the port that it listens on.
 */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

const [port = '', roundTripMs = ''] = process.argv.slice(2);

function forward(from: Socket, to: Socket): void {
  from.on('data', (piece) => setTimeout(() => to.destroyed || to.write(piece), Number(roundTripMs) / 2));
  from.on('end', () => setTimeout(() => to.end(), Number(roundTripMs) / 2));
  from.on('error', () => to.destroy());
}

const server = createServer({ noDelay: true }, (near) => {
  const far = connect({ port: Number(port), host: '127.0.0.1', noDelay: true });
  forward(near, far);
  forward(far, near);
});
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));
