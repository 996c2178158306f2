/**
 * `npm run bench:maintain -- [--rounds N] [--contents N] [--packs N] [--folder PATH]`: a full maintenance of a repository with
 * many small packs, days old, on an S3 server of its own: what dray and kopia ask of it, and how long they take, in turns and
 * each on a copy. Both are counted by the same proxy. Writes bench/results-maintain.md.
 */
import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import type { BlobStore } from '../src/blobs/blob-store.ts';
import { parseRepositoryUrl } from '../src/blobs/location.ts';
import { openBlobStore } from '../src/blobs/open-blob-store.ts';
import { systemClock } from '../src/std/clock.ts';
import { systemRng } from '../src/std/rng.ts';
import { startS3Server, testKeys, type S3Server } from '../test/peers/s3-servers.ts';
import {
  deleteSnapshot,
  hourMs,
  identity,
  openWorld,
  putFile,
  putSnapshot,
  type World,
} from '../test/maintenance/world.ts';
import { describeMachine } from './machine.ts';
import { measure, type Measurement } from './measure.ts';
import { kopiaEnvironment } from './peers/kopia-settings.ts';
import { findOrBuildPeer } from './peers/peer.ts';
import { median } from './samples.ts';
import { markdownTable } from './table.ts';
import { openWorkspace } from './workspace.ts';

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    contents: { type: 'string', default: '100000' },
    packs: { type: 'string', default: '1000' },
    folder: { type: 'string' },
    out: { type: 'string', default: join(import.meta.dirname, 'results-maintain.md') },
  },
});
const rounds = Number(flags.rounds);
const packs = Number(flags.packs);
const contentsPerPack = Math.round(Number(flags.contents) / packs);
const packsPerSnapshot = Math.max(1, Math.round(packs / 10));
const bucket = 'bench';
const region = 'us-east-1';
const { signal } = new AbortController();

interface Run {
  readonly name: string;
  readonly requests: number;
  readonly bytes: number;
  readonly wallSeconds: number;
  readonly peakBytes: number;
}

Object.assign(process.env, {
  AWS_ACCESS_KEY_ID: testKeys.accessKeyId,
  AWS_SECRET_ACCESS_KEY: testKeys.secretAccessKey,
  AWS_EC2_METADATA_DISABLED: 'true',
});

await using workspace = await openWorkspace(flags.folder, { needsBytes: Number(flags.contents) * 20_000 });
const machine = await describeMachine(workspace.folder);
const kopia = await findOrBuildPeer('kopia');
await using world = await oldRepository();
const runs: Run[] = [];
for (let round = 0; round < rounds; round++) {
  console.log(`--- round ${round + 1} of ${rounds}`);
  const both = [async () => await onServer('dray', drayRun)];
  if (kopia !== undefined) both.push(async () => await onServer('kopia', async (port) => await kopiaRun(kopia, port)));
  for (const run of round % 2 === 0 ? both : both.toReversed()) await run();
}
await writeFile(flags.out, report());

/** Ten snapshots, of which three are deleted; one pack, and so one flush, for each hundred files. */
async function oldRepository(): Promise<World> {
  const made = await openWorld({ seed: 1, startMs: systemClock.nowMs() - 10 * 24 * hourMs });
  await using repository = await made.open('writer');
  const snapshots = [];
  let number = 0;
  for (let pack = 0; pack < packs; pack += packsPerSnapshot) {
    await using writer = await repository.writer(identity, { signal });
    const files = [];
    for (let of = 0; of < packsPerSnapshot && pack + of < packs; of++) {
      for (let n = 0; n < contentsPerPack; n++) files.push(await putFile(writer, [number++]));
      await writer.flush();
    }
    snapshots.push(await putSnapshot(repository, writer, { path: `/data-${pack}`, files, nowMs: made.clock.nowMs() }));
    await writer.finish();
  }
  made.clock.advance(8 * 24 * hourMs);
  for (const id of snapshots.slice(0, 3)) await deleteSnapshot(made, id);
  return made;
}

async function onServer(name: string, run: (port: string) => Promise<Measurement>): Promise<void> {
  await using server = await startS3Server('versitygw', { region, tls: false });
  await server.makeBucket(bucket);
  {
    await using store = await openStore(server);
    for await (const { id } of world.store.list('', { signal })) {
      await store.put(id, await world.store.get(id, { signal }), { signal });
    }
  }
  await using proxy = await countProxy(new URL(server.endpoint).port);
  await proxy.take();
  const { wallSeconds, peakBytes } = await run(proxy.port);
  const { bytes = 0, ...requests } = await proxy.take();
  const total = Object.values(requests).reduce((sum, count) => sum + count, 0);
  runs.push({ name, requests: total, bytes, wallSeconds, peakBytes });
  console.log(name.padEnd(8), `${wallSeconds.toFixed(2)} s`, JSON.stringify(requests), bytes);
}

async function openStore(server: S3Server): Promise<BlobStore> {
  const location = parseRepositoryUrl(server.url(bucket, ''), { region, tls: false });
  return await openBlobStore(location, { signal, clock: systemClock, rng: systemRng });
}

async function drayRun(port: string): Promise<Measurement> {
  const env = {
    DRAY_REPOSITORY: `s3://${bucket}?endpoint=http://127.0.0.1:${port}&region=${region}`,
    DRAY_PASSWORD: 'password',
    DRAY_CACHE_DIR: workspace.path('dray-cache'),
  };
  const args = ['repository', 'maintain', '--full', '--no-tls', '--identity', 'keeper@here', '--quiet'];
  const program = new URL('../bin/dray', import.meta.url).pathname;
  const measured = await measure({ program, args, env, signal });
  await workspace.remove('dray-cache');
  return measured;
}

async function kopiaRun(program: string, port: string): Promise<Measurement> {
  const env = kopiaEnvironment(workspace.path('kopia'), { password: 'password' });
  const run = async (...args: string[]): Promise<Measurement> => await measure({ program, args, env, signal });
  const place = [`--bucket=${bucket}`, `--endpoint=127.0.0.1:${port}`, `--region=${region}`, '--disable-tls'];
  const self = ['--override-username=keeper', '--override-hostname=here'];
  await run('repository', 'connect', 's3', ...place, ...self);
  // What connecting has asked for counts for both programs alike: each opens the repository once.
  const measured = await run('maintenance', 'run', '--full');
  await workspace.remove('kopia');
  return measured;
}

interface CountProxy extends AsyncDisposable {
  readonly port: string;
  /** Since the last time. */
  take(): Promise<Readonly<Record<string, number>>>;
}

async function countProxy(upstream: string): Promise<CountProxy> {
  const program = join(import.meta.dirname, 'count-proxy.ts');
  const child = spawn(process.execPath, [program, upstream], { stdio: ['ignore', 'pipe', 'inherit'] });
  const { promise, resolve } = Promise.withResolvers<string>();
  child.stdout.once('data', (piece: Buffer) => resolve(piece.toString().trim()));
  const port = await promise;
  return {
    port,
    take: async () => (await (await fetch(`http://127.0.0.1:${port}/counts`)).json()) as Record<string, number>,
    [Symbol.asyncDispose]: async () => void child.kill(),
  };
}

function report(): string {
  const names = [...new Set(runs.map(({ name }) => name))];
  const rows = names.map((name) => {
    const own = runs.filter((run) => run.name === name);
    const of = (pick: (run: Run) => number): number => median(own.map(pick));
    return {
      name,
      requests: of((run) => run.requests),
      mebibytes: of((run) => run.bytes) / 2 ** 20,
      seconds: of((run) => run.wallSeconds),
      peakMebibytes: of((run) => run.peakBytes) / 2 ** 20,
    };
  });
  const table = markdownTable(rows, [
    { header: 'Program', value: ({ name }) => name },
    { header: 'Requests', value: ({ requests }) => requests.toFixed(0), align: 'right' },
    { header: 'MiB', value: ({ mebibytes }) => mebibytes.toFixed(1), align: 'right' },
    { header: 'Seconds', value: ({ seconds }) => seconds.toFixed(2), align: 'right' },
    { header: 'Peak MiB', value: ({ peakMebibytes }) => peakMebibytes.toFixed(0), align: 'right' },
  ]);
  return `# A full maintenance

Written by \`npm run bench:maintain\`: medians of ${rounds} rounds, ${flags.contents} contents of 2 KiB in ${flags.packs} packs, a third of them unused for days, on versitygw without TLS on loopback, behind a
proxy that counts. The run marks what is unused and gathers all packs, which are short. The bar: at most half of kopia's requests, bytes and time. ${machine[0]?.[1] ?? ''}.

${table}
${kopia === undefined ? 'There was no kopia.' : ''}
`;
}
