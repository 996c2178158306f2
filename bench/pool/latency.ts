/**
 * What an application notices of snapshots, apart from the moment in which it is frozen: in one long run of the same load
 * windows without any, with one a minute, with one in ten seconds, with one a second, and with the least that anybody could
 * do a second (freeze, reflink, thaw), in turns, so that a machine that gets slower does so for all of them. All requests of
 * a kind are one sample. A request that overlaps a freeze is left out. The command says how long it froze and a moment within (the
 * snapshot's time), so what may have been frozen is at most twice as long, around that moment.
 */
import { execFile } from 'node:child_process';
import { mkdir, readdir, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { PoolLayout } from '../../src/pool/pool-layout.ts';
import { systemClock } from '../../src/std/clock.ts';
import { atMost } from '../bars.ts';
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

type Kind = 'without snapshots' | 'one a minute' | 'one in ten seconds' | 'one a second' | 'a bare reflink a second';

interface Rhythm {
  /** Of a window. */
  readonly seconds: number;
  /** From one snapshot to the next, the first of which is at the beginning; undefined for none of dray's. */
  readonly everySeconds?: number;
}

const rhythms: Readonly<Record<Kind, Rhythm>> = {
  'without snapshots': { seconds: 10 },
  'one a minute': { seconds: 60, everySeconds: 60 },
  'one in ten seconds': { seconds: 10, everySeconds: 10 },
  'one a second': { seconds: 10, everySeconds: 1 },
  'a bare reflink a second': { seconds: 10 },
};
const kinds = Object.keys(rhythms) as readonly Kind[];
const smallWindowSeconds = 4;

/** A stretch of the load, in which snapshots of one kind were taken. */
interface Window extends Span {
  readonly kind: Kind;
  readonly frozen: readonly Span[];
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
  const windows: Window[] = [];
  await using running = await startLoad(load, workspace);
  for (let round = 0; round < (small ? 1 : bench.rounds * 4); round++) {
    for (const kind of round % 2 === 0 ? kinds : kinds.toReversed()) {
      // Each begins with a volume in few extents: what the windows before have left would be reflinked with it.
      await pool.run('volume', 'rewrite', 'data');
      settle();
      const seconds = small ? smallWindowSeconds : rhythms[kind].seconds;
      windows.push(await runWindow(pool, { kind, folder, seconds, signal }));
      await removeSnapshots(pool);
    }
  }
  const found = findingsOf(windows, await running.stop());
  const p99Of = (kind: Kind): number => found.find((one) => one.kind === kind)!.p99Ms;
  const bar = `p99 outside the freeze ≤ ${ratioMax}× of no snapshots`;
  const bars = (['one a minute', 'one in ten seconds', 'one a second'] as const).map((kind) =>
    atMost(`Snapshots, ${kind}`, bar, ratioMax, p99Of(kind) / p99Of('without snapshots')),
  );
  return { bars, how, tables: tableOf(found) };
}

interface WindowOptions {
  readonly kind: Kind;
  /** Where the volume is mounted. */
  readonly folder: string;
  readonly seconds: number;
  readonly signal: AbortSignal;
}

async function runWindow(pool: BenchPool, { kind, folder, seconds, signal }: WindowOptions): Promise<Window> {
  const frozen: Span[] = [];
  const every = rhythms[kind].everySeconds;
  const fromMs = Date.now();
  for (let second = 0; second < seconds; second++) {
    const next = systemClock.sleep(1000, { signal });
    const name = `second-${second}`;
    if (kind === 'a bare reflink a second') {
      frozen.push(await bareSnapshot(pool, folder, name));
    } else if (every !== undefined && second % every === 0) {
      const { created, frozenMs } = await pool.snapshot('data', name);
      const withinMs = Date.parse(created);
      frozen.push({ fromMs: withinMs - frozenMs - slackMs, toMs: withinMs + frozenMs + slackMs });
    }
    await next;
  }
  return { kind, frozen, fromMs, toMs: Date.now() };
}

interface Finding {
  readonly kind: Kind;
  readonly windows: number;
  readonly snapshots: number;
  readonly requests: number;
  readonly leftOut: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Of each window by itself. */
  readonly p99sMs: readonly number[];
  /** Of all requests, those of freezes too. */
  readonly longestMs: number;
}

function findingsOf(windows: readonly Window[], requests: readonly Request[]): Finding[] {
  return kinds.map((kind) => {
    const own = windows.filter((window) => window.kind === kind);
    const within = own.map((window) => requests.filter(({ endedMs }) => isWithin(endedMs, window)));
    const outside = own.map(({ frozen }, number) =>
      within[number]!.filter((request) => !frozen.some((span) => overlaps(request, span)))
        .map(({ latencyMs }) => latencyMs)
        .sort((a, b) => a - b),
    );
    const all = outside.flat().sort((a, b) => a - b);
    const finding = {
      kind,
      windows: own.length,
      snapshots: own.reduce((sum, { frozen }) => sum + frozen.length, 0),
      requests: within.flat().length,
      leftOut: within.flat().length - all.length,
      p50Ms: at(all, 0.5),
      p99Ms: at(all, 0.99),
      p99sMs: outside.map((sorted) => at(sorted, 0.99)),
      longestMs: within.flat().reduce((longest, { latencyMs }) => Math.max(longest, latencyMs), 0),
    };
    console.log(JSON.stringify(finding));
    return finding;
  });
}

function isWithin(ms: number, { fromMs, toMs }: Span): boolean {
  return ms >= fromMs && ms < toMs;
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

async function removeSnapshots(pool: BenchPool): Promise<void> {
  const taken = await readdir(new PoolLayout(pool.path).snapshots('data'));
  if (taken.length > 0) await pool.run('snapshot', 'delete', ...taken.map((name) => `data@${name}`));
  // Cut first: XFS frees the blocks of what is only unlinked in the background, beside the next window.
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

function tableOf(found: readonly Finding[]): string {
  return markdownTable(found, [
    { header: 'Windows', value: ({ kind, windows }) => `${windows} ${kind}` },
    { header: 'Snapshots', value: ({ snapshots }) => String(snapshots), align: 'right' },
    { header: 'Requests', value: ({ requests }) => String(requests), align: 'right' },
    { header: 'Left out', value: ({ leftOut }) => String(leftOut), align: 'right' },
    { header: 'p50 ms', value: ({ p50Ms }) => p50Ms.toFixed(2), align: 'right' },
    { header: 'p99 ms', value: ({ p99Ms }) => p99Ms.toFixed(2), align: 'right' },
    { header: 'Least of a window', value: ({ p99sMs }) => Math.min(...p99sMs).toFixed(2), align: 'right' },
    { header: 'Most', value: ({ p99sMs }) => Math.max(...p99sMs).toFixed(2), align: 'right' },
    { header: 'Longest of all', value: ({ longestMs }) => longestMs.toFixed(0), align: 'right' },
  ]);
}

const how = `An ext4 in a volume of 2 GiB; fio reads and overwrites 400 random pages of 4 KiB a second in a file of 512 MiB, one at a time, without
an end; in it windows of 10 seconds without snapshots, with one, with one a second (\`dray snapshot create\`, a process of its own each), and with the least
that anybody could do each second (\`fsfreeze\`, \`cp --reflink\`, \`fsfreeze\`: nothing of it is durable, and nobody would thaw it), and windows of a minute
with one snapshot, in turns; all are deleted after the window, and the volume is gathered before it. Requests that overlap a freeze are left out.
The p99 of all requests of a kind are compared.`;
