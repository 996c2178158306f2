/** A thousand snapshots of one volume: whether making one more, and listing them, stays as fast and as small as at first. */
import { open } from 'node:fs/promises';

import { keystream } from '../../src/cli/actions/tour-image.ts';
import { atMost, type Bar } from '../bars.ts';
import type { Measurement } from '../measure.ts';
import { median } from '../samples.ts';
import { markdownTable } from '../table.ts';
import { BenchPool } from './bench-pool.ts';
import type { PoolBench, PoolFindings, PoolPart } from './pool-part.ts';

const gib = 2 ** 30;
const mib = 2 ** 20;
const writeBytes = 64 * 1024;
const slowerMax = 1.5;
const largerMax = 1.2;

const kinds = ['snapshot create', 'snapshot list'] as const;

interface Span {
  readonly kind: (typeof kinds)[number];
  readonly first: readonly Measurement[];
  readonly last: readonly Measurement[];
}

export const thousandPart: PoolPart = {
  name: 'thousand',
  title: 'A thousand snapshots of one volume',
  needsBytes: 4 * gib,
  run: measureThousand,
};

async function measureThousand({ workspace, small, signal }: PoolBench): Promise<PoolFindings> {
  const [snapshots, edge] = small ? [12, 4] : [1000, 50];
  await using pool = await BenchPool.create(workspace, { sizeBytes: 8 * gib, signal });
  await pool.makeVolume('data', { sizeBytes: gib });
  const device = await pool.attach('data');
  const spans = kinds.map((kind) => ({ kind, first: [] as Measurement[], last: [] as Measurement[] }));
  const [created, listed] = spans as [(typeof spans)[number], (typeof spans)[number]];
  for (let number = 0; number < snapshots; number++) {
    await writeBlock(device, number);
    const { measured } = await pool.snapshot('data', `s${number}`);
    const which = number < edge ? 'first' : number >= snapshots - edge ? 'last' : undefined;
    if (number % 100 === 0) console.log(`${number} snapshots: ${measured.wallSeconds.toFixed(3)} s`);
    if (which === undefined) continue;
    created[which].push(measured);
    listed[which].push(await pool.run('snapshot', 'list', '--volume', 'data', '-o', 'json'));
  }
  return { bars: spans.flatMap((span) => barsOf(span, edge)), how: howOf({ snapshots, edge }), tables: tableOf(spans) };
}

/** As an application would, between two snapshots. */
async function writeBlock(device: string, number: number): Promise<void> {
  await using file = await open(device, 'r+');
  const { bytesWritten } = await file.write(
    keystream(`thousand ${number}`, writeBytes),
    0,
    writeBytes,
    (number % 1000) * mib,
  );
  if (bytesWritten !== writeBytes) throw new Error(`${device}: a short write`);
  await file.sync();
}

function barsOf({ kind, first, last }: Span, edge: number): Bar[] {
  const seconds = secondsOf(last) / secondsOf(first);
  const memory = peakOf(last) / peakOf(first);
  const step = `A thousand snapshots, ${kind}`;
  return [
    atMost(step, `the last ${edge} ≤ ${slowerMax}× as slow as the first`, slowerMax, seconds),
    atMost(step, `the last ${edge} ≤ ${largerMax}× the memory of the first`, largerMax, memory),
  ];
}

function secondsOf(runs: readonly Measurement[]): number {
  return median(runs.map(({ wallSeconds }) => wallSeconds));
}

function peakOf(runs: readonly Measurement[]): number {
  return Math.max(...runs.map(({ peakBytes }) => peakBytes));
}

function tableOf(spans: readonly Span[]): string {
  const rows = spans.flatMap(({ kind, first, last }) => [
    { name: `${kind}, first`, runs: first },
    { name: `${kind}, last`, runs: last },
  ]);
  return markdownTable(rows, [
    { header: 'Runs', value: ({ name }) => name },
    { header: 'Number', value: ({ runs }) => String(runs.length), align: 'right' },
    { header: 'Seconds', value: ({ runs }) => secondsOf(runs).toFixed(3), align: 'right' },
    { header: 'Peak MiB', value: ({ runs }) => (peakOf(runs) / mib).toFixed(0), align: 'right' },
  ]);
}

function howOf({ snapshots, edge }: { readonly snapshots: number; readonly edge: number }): string {
  return `An attached volume of 1 GiB; 64 KiB are written before each of ${snapshots} snapshots. Medians of the first and the last ${edge}, after each of which the
snapshots are listed as JSON, so that the lists are of 1 to ${edge}, and of ${snapshots - edge + 1} to ${snapshots}. Memory is the highest peak of the resident set of all these.`;
}
