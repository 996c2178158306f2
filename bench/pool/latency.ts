/**
 * What an application notices of snapshots, apart from the moment in which it is frozen: the same load without any, with
 * one a second, with one in ten seconds, and with the least that anybody could do a second (freeze, reflink, thaw), in
 * turns. A request that overlaps a freeze is left out. The command says how long it froze and a moment within (the
 * snapshot's time), so what may have been frozen is at most twice as long, around that moment.
 */
import { execFile } from 'node:child_process';
import { mkdir, readdir, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { systemClock } from '../../src/std/clock.ts';
import { atMost } from '../bars.ts';
import { median } from '../samples.ts';
import { markdownTable } from '../table.ts';
import { settle } from '../workspace.ts';
import { BenchPool } from './bench-pool.ts';
import { layOut, startLoad, type Load, type Request } from './fio.ts';
import type { PoolBench, PoolFindings, PoolPart } from './pool-part.ts';

const execute = promisify(execFile);
const gib = 2 ** 30;
const mib = 2 ** 20;
/** The times are of whole milliseconds. */
const slackMs = 2;
const ratioMax = 1.2;

const kinds = ['without snapshots', 'one in ten seconds', 'one a second', 'a bare reflink a second'] as const;

interface Phase {
  readonly kind: (typeof kinds)[number];
  readonly requests: number;
  readonly leftOut: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Of all requests, those of freezes too. */
  readonly longestMs: number;
  readonly snapshots: number;
}

interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

export const latencyPart: PoolPart = {
  name: 'latency',
  title: 'Latency of an application beside snapshots',
  needsBytes: 8 * gib,
  run: measureLatency,
};

async function measureLatency(bench: PoolBench): Promise<PoolFindings> {
  const { workspace, small, signal } = bench;
  await using pool = await BenchPool.create(workspace, { sizeBytes: 16 * gib, signal });
  await pool.makeVolume('data', { sizeBytes: 2 * gib, mkfs: 'ext4' });
  const folder = await pool.mount('data');
  const size = { pagesBytes: (small ? 64 : 512) * mib, pagesPerSecond: 400 };
  const load: Load = { folder, ...size, pages: 'randrw', logBytesPerSecond: 0 };
  layOut(load);
  const phases: Phase[] = [];
  for (let round = 0; round < (small ? 1 : bench.rounds * 2); round++) {
    for (const kind of round % 2 === 0 ? kinds : kinds.toReversed()) {
      // Each begins with a volume in few extents: what the runs before have left would be reflinked with it.
      await pool.run('volume', 'rewrite', 'data');
      settle();
      phases.push(await runPhase(bench, pool, { kind, load, folder, seconds: small ? 4 : 20 }));
    }
  }
  const p99Of = (kind: Phase['kind']): number =>
    median(phases.filter((phase) => phase.kind === kind).map(({ p99Ms }) => p99Ms));
  const bar = `p99 outside the freeze ≤ ${ratioMax}× of no snapshots`;
  const bars = (['one in ten seconds', 'one a second'] as const).map((kind) =>
    atMost(`Snapshots, ${kind}`, bar, ratioMax, p99Of(kind) / p99Of('without snapshots')),
  );
  return { bars, how, tables: tableOf(phases) };
}

interface PhaseOptions {
  readonly kind: Phase['kind'];
  readonly load: Load;
  /** Where the volume is mounted. */
  readonly folder: string;
  readonly seconds: number;
}

async function runPhase(
  { workspace, signal }: PoolBench,
  pool: BenchPool,
  { kind, load, folder, seconds }: PhaseOptions,
): Promise<Phase> {
  await using running = await startLoad(load, workspace);
  const frozen: Span[] = [];
  const names: string[] = [];
  for (let second = 0; second < seconds; second++) {
    const next = systemClock.sleep(1000, { signal });
    const name = `second-${second}`;
    if (kind === 'a bare reflink a second') {
      frozen.push(await bareSnapshot(pool, folder, name));
    } else if (kind === 'one a second' || (kind === 'one in ten seconds' && second % 10 === 0)) {
      const { created, frozenMs } = await pool.snapshot('data', name);
      const withinMs = Date.parse(created);
      frozen.push({ fromMs: withinMs - frozenMs - slackMs, toMs: withinMs + frozenMs + slackMs });
      names.push(`data@${name}`);
    }
    await next;
  }
  const requests = await running.stop();
  if (names.length > 0) await pool.run('snapshot', 'delete', ...names);
  await removeBare(pool);
  const outside = requests.filter((request) => !frozen.some((span) => overlaps(request, span)));
  const sorted = outside.map(({ latencyMs }) => latencyMs).sort((a, b) => a - b);
  const phase: Phase = {
    kind,
    requests: requests.length,
    leftOut: requests.length - outside.length,
    p50Ms: at(sorted, 0.5),
    p99Ms: at(sorted, 0.99),
    longestMs: requests.reduce((longest, { latencyMs }) => Math.max(longest, latencyMs), 0),
    snapshots: frozen.length,
  };
  console.log(JSON.stringify(phase));
  return phase;
}

/** Freeze, reflink, thaw, and nothing else: neither durable nor safe. */
async function bareSnapshot(pool: BenchPool, folder: string, name: string): Promise<Span> {
  await mkdir(bareFolder(pool), { recursive: true });
  const fromMs = Date.now() - slackMs;
  await execute('fsfreeze', ['--freeze', folder]);
  try {
    await execute('cp', ['--reflink=always', pool.imageOf('data'), join(bareFolder(pool), name)]);
  } finally {
    await execute('fsfreeze', ['--unfreeze', folder]);
  }
  return { fromMs, toMs: Date.now() + slackMs };
}

/** Cut first: XFS frees the blocks of what is only unlinked in the background, beside the next run. */
async function removeBare(pool: BenchPool): Promise<void> {
  await mkdir(bareFolder(pool), { recursive: true });
  for (const name of await readdir(bareFolder(pool))) await truncate(join(bareFolder(pool), name));
  await rm(bareFolder(pool), { recursive: true });
}

function bareFolder(pool: BenchPool): string {
  return join(pool.path, 'bare');
}

function overlaps({ endedMs, latencyMs }: Request, { fromMs, toMs }: Span): boolean {
  return endedMs >= fromMs && endedMs - latencyMs <= toMs;
}

function at(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

function tableOf(phases: readonly Phase[]): string {
  return markdownTable(phases, [
    { header: 'Run', value: ({ kind }) => kind },
    { header: 'Snapshots', value: ({ snapshots }) => String(snapshots), align: 'right' },
    { header: 'Requests', value: ({ requests }) => String(requests), align: 'right' },
    { header: 'Left out', value: ({ leftOut }) => String(leftOut), align: 'right' },
    { header: 'p50 ms', value: ({ p50Ms }) => p50Ms.toFixed(2), align: 'right' },
    { header: 'p99 ms', value: ({ p99Ms }) => p99Ms.toFixed(2), align: 'right' },
    { header: 'Longest of all', value: ({ longestMs }) => longestMs.toFixed(0), align: 'right' },
  ]);
}

const how = `An ext4 in a volume of 2 GiB; fio reads and overwrites 400 random pages of 4 KiB a second in a file of 512 MiB, one at a time, for
20 seconds; without snapshots, with one in ten seconds, with one a second (\`dray snapshot create\`, a process of its own each), and with the least
that anybody could do each second (\`fsfreeze\`, \`cp --reflink\`, \`fsfreeze\`: nothing of it is durable, and nobody would thaw it); all are deleted
afterwards, and the volume is gathered before each run; in turns, twice as often as rounds. Requests that overlap a freeze are left out. The medians of the p99 are compared.`;
