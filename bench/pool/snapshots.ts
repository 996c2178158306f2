/**
 * How long writers wait for a snapshot. A file system is under load, so that its image has ever more extents; snapshots
 * and bare reflinks of the same image take turns, a second apart, and both stay until the end: what the one shares, the
 * other has to copy again. They are compared where the image had about as many extents.
 */
import { open } from 'node:fs/promises';
import { join } from 'node:path';

import { countExtents } from '../../src/kernel/extent-map.ts';
import { cloneFile } from '../../src/kernel/reflink.ts';
import { systemClock } from '../../src/std/clock.ts';
import type { Bar } from '../bars.ts';
import { median } from '../samples.ts';
import { markdownTable } from '../table.ts';
import { BenchPool } from './bench-pool.ts';
import { layOut, startLoad, type Load } from './fio.ts';
import type { PoolBench, PoolFindings, PoolPart } from './pool-part.ts';

const gib = 2 ** 30;
const mib = 2 ** 20;
const bands: readonly { readonly from: number; readonly below: number }[] = [
  { from: 0, below: 500 },
  { from: 500, below: 1000 },
  { from: 1000, below: 1500 },
  { from: 1500, below: 2001 },
  { from: 2001, below: 4000 },
];
const extentsAllowed = 2000;
const frozenMsMax = 50;
const reflinksMax = 1.3;
const extraMsMax = 20;

interface Taken {
  readonly extents: number;
  readonly ms: number;
}

interface Sweep {
  readonly frozen: Taken[];
  readonly bare: Taken[];
}

export const snapshotsPart: PoolPart = {
  name: 'snapshots',
  title: 'Snapshot of a mounted volume under load',
  needsBytes: 8 * gib,
  run: measureSnapshots,
};

async function measureSnapshots(bench: PoolBench): Promise<PoolFindings> {
  const { workspace, small, signal } = bench;
  const sweep: Sweep = { frozen: [], bare: [] };
  const sweeps = small ? 1 : bench.rounds;
  for (let number = 0; number < sweeps; number++) {
    await using pool = await BenchPool.create(workspace, { sizeBytes: 16 * gib, signal });
    await pool.makeVolume('data', { sizeBytes: 2 * gib, mkfs: 'ext4' });
    const load: Load = {
      folder: await pool.mount('data'),
      pagesBytes: (small ? 64 : 512) * mib,
      pagesPerSecond: small ? 200 : 30,
      pages: 'randwrite',
      logBytesPerSecond: 16 * mib,
    };
    layOut(load);
    await using running = await startLoad(load, workspace);
    await takeUntil(pool, sweep, { extents: small ? 1000 : bands.at(-1)!.below, most: small ? 4 : 100, signal });
    await running.stop();
  }
  return { bars: barsOf(sweep), how, tables: tableOf(sweep) };
}

async function takeUntil(
  pool: BenchPool,
  { frozen, bare }: Sweep,
  { extents: until, most, signal }: { readonly extents: number; readonly most: number; readonly signal: AbortSignal },
): Promise<void> {
  for (let number = 0, extents = 0; number < most && extents < until; number++) {
    await systemClock.sleep(1000, { signal });
    const { frozenMs } = await pool.snapshot('data', `s${number}`);
    await using image = await open(pool.imageOf('data', `s${number}`), 'r');
    extents = await countExtents(image.fd);
    frozen.push({ extents, ms: frozenMs });
    await systemClock.sleep(1000, { signal });
    const reflink = await bareReflink(pool, number);
    bare.push(reflink);
    console.log(`${extents} extents: ${frozenMs} ms frozen; ${reflink.extents}: ${reflink.ms.toFixed(1)} ms bare`);
  }
}

async function bareReflink(pool: BenchPool, number: number): Promise<Taken> {
  await using from = await open(pool.imageOf('data'), 'r');
  await using to = await open(join(pool.path, `bare-${number}`), 'wx');
  const startedMs = systemClock.monotonicMs();
  await cloneFile(from.fd, to.fd);
  const ms = systemClock.monotonicMs() - startedMs;
  return { extents: await countExtents(to.fd), ms };
}

function inBand(taken: readonly Taken[], { from, below }: (typeof bands)[number]): number[] {
  return taken.filter(({ extents }) => extents >= from && extents < below).map(({ ms }) => ms);
}

function barsOf(sweep: Sweep): Bar[] {
  const step = 'Snapshot under load';
  const allowed = sweep.frozen.filter(({ extents }) => extents <= extentsAllowed).map(({ ms }) => ms);
  const bars = bands.map((band): Bar => {
    const [frozen, bare] = [inBand(sweep.frozen, band), inBand(sweep.bare, band)];
    const measurable = frozen.length > 0 && bare.length > 0;
    const bound = reflinksMax * median(bare) + extraMsMax;
    return {
      step: `${step}, ${bandName(band)}`,
      bar: `frozen ≤ ${reflinksMax}× a bare reflink + ${extraMsMax} ms`,
      measured: measurable ? `${median(frozen).toFixed(0)} ms of ${bound.toFixed(0)} allowed` : '–',
      reached: measurable ? median(frozen) <= bound : undefined,
    };
  });
  bars.push({
    step: `${step}, up to ${extentsAllowed} extents`,
    bar: `frozen < ${frozenMsMax} ms, each time`,
    measured: allowed.length === 0 ? '–' : `median ${median(allowed)} ms, longest ${Math.max(...allowed)} ms`,
    reached: allowed.length === 0 ? undefined : Math.max(...allowed) < frozenMsMax,
  });
  return bars;
}

function tableOf(sweep: Sweep): string {
  const rows = bands.map((band) => ({ band, frozen: inBand(sweep.frozen, band), bare: inBand(sweep.bare, band) }));
  const present = rows.filter(({ frozen, bare }) => frozen.length > 0 && bare.length > 0);
  return markdownTable(present, [
    { header: 'Extents', value: ({ band }) => bandName(band) },
    { header: 'Snapshots', value: ({ frozen }) => String(frozen.length), align: 'right' },
    { header: 'Frozen ms', value: ({ frozen }) => median(frozen).toFixed(0), align: 'right' },
    { header: 'Longest', value: ({ frozen }) => Math.max(...frozen).toFixed(0), align: 'right' },
    { header: 'Bare reflink ms', value: ({ bare }) => median(bare).toFixed(1), align: 'right' },
    { header: 'Ratio', value: ({ frozen, bare }) => (median(frozen) / median(bare)).toFixed(2), align: 'right' },
  ]);
}

function bandName({ from, below }: (typeof bands)[number]): string {
  return `${from}–${below - 1} extents`;
}

const how = `An ext4 in a volume of 2 GiB, in which fio overwrites random pages of 4 KiB of a file, and goes round
in a log of 128 MiB with 16 MiB/s. Every second or so a snapshot (\`dray snapshot create\`) and a reflink of the volume's image
take turns. "Frozen" is what the command says; medians of the snapshots and reflinks of images with that many extents.`;
