/** A kopia that works as of another moment: it is told the time, and what it puts is as old as that. */
import { utimes } from 'node:fs/promises';
import { createServer } from 'node:http';

import { formatGoTime, nanosecondsFromMs } from '../../src/std/go-time.ts';
import { blobFiles } from '../fixtures/open-fixture.ts';
import { KopiaClient, type KopiaIdentity } from './peers.ts';
import { listenHere } from '../support/listen-here.ts';

export interface KopiaAt {
  /** The path of `kopia-clock`. */
  readonly program: string;
  /** A folder. */
  readonly repository: string;
  readonly password: string;
  readonly identity: KopiaIdentity;
  /** Unix milliseconds. */
  readonly atMs: number;
  readonly signal?: AbortSignal;
}

/** Has a client of its own, connected, do something; blobs that were not there before get the time, too. */
export async function asOf(
  { program, repository, password, identity, atMs, signal }: KopiaAt,
  work: (client: KopiaClient) => Promise<void>,
): Promise<void> {
  const known = new Set((await blobFiles(repository)).keys());
  const server = createServer((_request, response) => {
    response.end(JSON.stringify({ time: formatGoTime(nanosecondsFromMs(atMs)), validFor: 3_600_000_000_000 }));
  });
  const port = await listenHere(server);
  try {
    const clockUrl = `http://127.0.0.1:${port}`;
    await using client = await KopiaClient.open(program, repository, { clockUrl, ...(signal && { signal }) });
    await client.connect(password, identity);
    await work(client);
  } finally {
    server.close();
  }
  for (const [blob, path] of await blobFiles(repository)) {
    if (!known.has(blob)) await utimes(path, atMs / 1000, atMs / 1000);
  }
}
