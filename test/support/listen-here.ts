import type { AddressInfo, Server } from 'node:net';

/** Has a server listen on 127.0.0.1. @returns the port, which was free */
export async function listenHere(server: Server): Promise<number> {
  const listening = Promise.withResolvers<void>();
  server.once('error', listening.reject);
  server.listen(0, '127.0.0.1', listening.resolve);
  await listening.promise;
  server.off('error', listening.reject);
  return (server.address() as AddressInfo).port;
}
