/**
 * `npm run bench:s3 -- [--rounds N] [--size GIB] [--folder PATH]`: full backup and restore of a volume on an S3 server of its
 * own (versitygw, TLS, loopback), dray and kopia in turns, dray over a link without and with 50 ms of latency, which is a
 * program that has its own share of the processor, and dray in a folder: what the same work costs without transport.
 * Writes bench/results-s3.md.
 */
import { spawn } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { writeImage } from '../src/cli/actions/tour-image.ts';
import { authorityFile, startS3Server, testKeys, type S3Server } from '../test/peers/s3-servers.ts';
import { describeMachine } from './machine.ts';
import { measure, type Measurement } from './measure.ts';
import { formatOptions, kopiaEnvironment, parallel, policyOptions } from './peers/kopia-settings.ts';
import { findOrBuildPeer, versionOf } from './peers/peer.ts';
import { Samples } from './samples.ts';
import { markdownTable } from './table.ts';
import { openWorkspace, settle, type Workspace } from './workspace.ts';

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '4' },
    size: { type: 'string', default: '4' },
    folder: { type: 'string' },
    out: { type: 'string', default: join(import.meta.dirname, 'results-s3.md') },
  },
});
const rounds = Number(flags.rounds);
const sizeBytes = Number(flags.size) * 2 ** 30;
const roundTripMs = 50;
const bucket = 'bench';
const region = 'us-east-1';
const drayProgram = new URL('../bin/dray', import.meta.url).pathname;
const { signal } = new AbortController();

Object.assign(process.env, {
  AWS_ACCESS_KEY_ID: testKeys.accessKeyId,
  AWS_SECRET_ACCESS_KEY: testKeys.secretAccessKey,
  AWS_EC2_METADATA_DISABLED: 'true',
});

await using workspace = await openWorkspace(flags.folder, { needsBytes: sizeBytes * 5 });
const machine = await describeMachine(workspace.folder);
const image = workspace.path('image.img');
await writeImage(image, { sizeBytes, seed: 'bench', dense: true, signal });
const kopiaProgram = await findOrBuildPeer('kopia');
const samples = new Samples();
for (let round = 0; round < rounds; round++) {
  console.log(`--- round ${round + 1} of ${rounds}`);
  await using server = await startS3Server('versitygw', { region, md5: false });
  await server.makeBucket(bucket);
  const runs = [async () => await drayRound(workspace, server.url(bucket, 'dray'), { where: '' })];
  if (kopiaProgram !== undefined) runs.push(async () => await kopiaRound(workspace, server, kopiaProgram));
  for (const run of round % 2 === 0 ? runs : runs.toReversed()) await run();
  for (const ms of [0, roundTripMs]) {
    await overLink(server, ms, async (url) => await drayRound(workspace, url, { where: overLinkOf(ms) }));
  }
  await drayRound(workspace, workspace.path('repository'), { where: ', folder' });
  await workspace.remove('repository');
}
await writeFile(flags.out, report());

async function drayRound(work: Workspace, repository: string, { where }: { readonly where: string }): Promise<void> {
  const env = { DRAY_REPOSITORY: repository, DRAY_PASSWORD: 'bench', DRAY_CACHE_DIR: work.path('dray-cache') };
  const run = async (...args: string[]): Promise<Measurement> =>
    await measure({ program: drayProgram, args: [...args, '--quiet', '-o', 'json'], env, signal });
  await run('repository', 'create');
  settle();
  const backup = await run('backup', image);
  const { snapshot, storedBytes } = JSON.parse(backup.stdout) as { snapshot: string; storedBytes: number };
  samples.add(`backup, dray${where}`, backup, { volumeBytes: sizeBytes, storedBytes });
  settle();
  const target = work.path('restored.img');
  samples.add(`restore, dray${where}`, await run('restore', snapshot, target), { volumeBytes: sizeBytes });
  await rm(target);
  await work.remove('dray-cache');
}

async function kopiaRound(work: Workspace, server: S3Server, program: string): Promise<void> {
  const env = kopiaEnvironment(work.path('kopia'));
  const run = async (...args: string[]): Promise<Measurement> => await measure({ program, args, env, signal });
  const place = [`--bucket=${bucket}`, '--prefix=kopia/', `--endpoint=${new URL(server.endpoint).host}`];
  const trust = [`--region=${region}`, `--root-ca-pem-path=${authorityFile}`];
  await run('repository', 'create', 's3', ...place, ...trust, ...formatOptions);
  await run('policy', 'set', '--global', ...policyOptions);
  settle();
  const backup = await run('snapshot', 'create', image, `--parallel=${parallel}`, '--no-progress');
  samples.add('backup, kopia', backup, { volumeBytes: sizeBytes });
  const { stdout } = await run('snapshot', 'list', image, '--json');
  const [{ id } = { id: '' }] = JSON.parse(stdout) as readonly { id: string }[];
  await run('cache', 'clear');
  settle();
  const target = work.path('restored.img');
  samples.add('restore, kopia', await run('snapshot', 'restore', id, target, '--no-progress'), {
    volumeBytes: sizeBytes,
  });
  await rm(target);
  await work.remove('kopia');
}

function overLinkOf(ms: number): string {
  return `, link of ${ms} ms`;
}

/** The server by another port, behind which everything takes so much longer. */
async function overLink(server: S3Server, ms: number, run: (url: string) => Promise<void>): Promise<void> {
  const port = new URL(server.endpoint).port;
  const proxy = spawn(process.execPath, [join(import.meta.dirname, 'latency-proxy.ts'), port, String(ms)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const { promise, resolve } = Promise.withResolvers<string>();
    proxy.stdout.once('data', (piece: Buffer) => resolve(piece.toString().trim()));
    const own = await promise;
    const url = new URL(server.url(bucket, `far-${ms}`));
    url.searchParams.set('endpoint', `https://127.0.0.1:${own}`);
    await run(url.href);
  } finally {
    proxy.kill();
  }
}

function report(): string {
  const rows = samples.names.map((name) => ({ name, ...samples.median(name)! }));
  const wall = (name: string): number => samples.median(name)?.wallSeconds ?? Number.NaN;
  const cpuSeconds = (name: string): number => {
    const { cpuSecondsPerGigabyte = Number.NaN, volumeBytes = 0 } = samples.median(name) ?? {};
    return (cpuSecondsPerGigabyte * volumeBytes) / 1e9;
  };
  const storedGigabytes = (samples.median('backup, dray')?.storedBytes ?? 0) / 1e9;
  const ratios = [
    ['Backup: kopia ÷ dray, wall', wall('backup, kopia') / wall('backup, dray'), '≥ 2'],
    ['Restore: kopia (cache cleared) ÷ dray, wall', wall('restore, kopia') / wall('restore, dray'), '≥ 2'],
    [
      'Transport: CPU-s per stored GB on top of the same backup in a folder',
      (cpuSeconds('backup, dray') - cpuSeconds('backup, dray, folder')) / storedGigabytes,
      '≤ 0.5',
    ],
    [
      `Restore over the link with ${roundTripMs} ms, share of the rate over the same link without`,
      wall(`restore, dray${overLinkOf(0)}`) / wall(`restore, dray${overLinkOf(roundTripMs)}`),
      '≥ 0.8',
    ],
  ] as const;
  return `# A volume on S3

Written by \`npm run bench:s3\`: ${rounds} rounds of ${flags.size} GiB (half random, a quarter zeros, a quarter like text), versitygw with TLS on loopback and ETags of checksums instead of
MD5 (for both programs), in a process of its own on the same ${machine.find(([label]) => label === 'Processor')?.[1] ?? 'machine'}. dray ${versionOf(drayProgram, '--version')}, kopia ${kopiaProgram === undefined ? 'not there' : versionOf(kopiaProgram, '--version')}; medians.

${markdownTable(rows, [
  { header: 'Run', value: ({ name }) => name },
  { header: 'Seconds', value: ({ wallSeconds }) => wallSeconds.toFixed(2), align: 'right' },
  { header: 'GB/s', value: ({ gigabytesPerSecond }) => gigabytesPerSecond.toFixed(2), align: 'right' },
  { header: 'CPU-s per GB', value: ({ cpuSecondsPerGigabyte }) => cpuSecondsPerGigabyte.toFixed(2), align: 'right' },
  { header: 'Peak MiB', value: ({ peakBytes }) => (peakBytes / 2 ** 20).toFixed(0), align: 'right' },
])}
${markdownTable(ratios, [
  { header: 'Bar', value: ([name]) => name },
  { header: 'Measured', value: ([, ratio]) => ratio.toFixed(2), align: 'right' },
  { header: 'Wanted', value: ([, , wanted]) => wanted, align: 'right' },
])}`;
}
