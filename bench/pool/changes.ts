/**
 * What has changed between two snapshots: how long `dray changes` takes for many extents, and how much more than has really
 * changed it reports. Of what was rewritten here nothing may be missing: that ends the run.
 */
import { open } from 'node:fs/promises';

import { keystream } from '../../src/cli/actions/tour-image.ts';
import { countExtents, mapPages } from '../../src/kernel/extent-map.ts';
import { systemClock } from '../../src/std/clock.ts';
import { seededRng } from '../../src/std/rng.ts';
import { atMost } from '../bars.ts';
import { median } from '../samples.ts';
import { markdownTable } from '../table.ts';
import { settle } from '../workspace.ts';
import { BenchPool } from './bench-pool.ts';
import { layOut, startLoad, type Load } from './fio.ts';
import type { PoolBench, PoolFindings, PoolPart } from './pool-part.ts';

const gib = 2 ** 30;
const mib = 2 ** 20;
const blockBytes = 4096;
const chunkBytes = 4 * mib;
const excessMax = 1.1;
const secondsPer100kMax = 1;

interface Extent {
  readonly offset: number;
  readonly length: number;
}

/** Of `dray changes -o json`; the fields that are used. */
interface Reported {
  readonly durationMs: number;
  readonly extents: readonly Extent[];
}

interface Compared {
  readonly name: string;
  /** Of the image that has more of them. */
  readonly extents: number;
  readonly wallSeconds: number;
  readonly durationMs: number;
  /** What the kernel takes to tell the three maps that a comparison needs. */
  readonly mapsMs: number;
  readonly reportedBytes: number;
  readonly changedBytes: number;
}

export const changesPart: PoolPart = {
  name: 'changes',
  title: 'Changes between two snapshots',
  needsBytes: 8 * gib,
  run: measureChanges,
};

async function measureChanges(bench: PoolBench): Promise<PoolFindings> {
  const { workspace, small, signal } = bench;
  await using pool = await BenchPool.create(workspace, { sizeBytes: 16 * gib, signal });
  const blocks = small ? 4000 : 100_000;
  const sizeBytes = Math.ceil((2 * blocks * blockBytes) / mib) * mib;
  await pool.makeVolume('many', { sizeBytes });
  const changed = await writeEverySecond(pool, blocks);
  const many = await compare(bench, pool, { name: 'every second block', volume: 'many', changed });
  const written = await writeUnderLoad(bench, pool);
  const load = await compare(bench, pool, { name: 'ext4 under load', volume: 'data', changed: written });
  const secondsPer100k = (many.wallSeconds / many.extents) * 100_000;
  const step = 'Changes between two snapshots';
  const bars = [
    {
      step,
      bar: `≤ ${secondsPer100kMax} s for each 100,000 extents`,
      measured: `${secondsPer100k.toFixed(2)} s, the process and all (${many.extents} extents)`,
      reached: secondsPer100k <= secondsPer100kMax,
    },
    ...[many, load].map(({ name, reportedBytes, changedBytes }) =>
      atMost(`${step}, ${name}`, `reported ÷ really changed ≤ ${excessMax}`, excessMax, reportedBytes / changedBytes),
    ),
  ];
  return { bars, how: howOf(blocks), tables: tableOf([many, load]) };
}

/** Every second block of the volume, then half of these anew. @returns the blocks that differ between the snapshots */
async function writeEverySecond(pool: BenchPool, blocks: number): Promise<number[]> {
  const rng = seededRng(1);
  const written = Array.from({ length: blocks }, (_, number) => 2 * number);
  await writeBlocks(pool.imageOf('many'), written, 'first');
  await pool.snapshot('many', 'x');
  const changed = written.filter(() => rng.uniform() < 0.5);
  await writeBlocks(pool.imageOf('many'), changed, 'second');
  await pool.snapshot('many', 'y');
  return changed;
}

async function writeBlocks(path: string, blocks: readonly number[], seed: string): Promise<void> {
  await using file = await open(path, 'r+');
  const bytes = keystream(seed, blocks.length * blockBytes);
  for (const [at, block] of blocks.entries()) {
    await file.write(bytes, at * blockBytes, blockBytes, block * blockBytes);
  }
  await file.sync();
}

/** @returns the blocks whose bytes differ between the snapshots */
async function writeUnderLoad({ workspace, small, signal }: PoolBench, pool: BenchPool): Promise<number[]> {
  await pool.makeVolume('data', { sizeBytes: gib, mkfs: 'ext4' });
  const folder = await pool.mount('data');
  const size = { pagesBytes: (small ? 64 : 512) * mib, pagesPerSecond: 400 };
  const load: Load = { folder, ...size, pages: 'randwrite', logBytesPerSecond: mib };
  layOut(load);
  await pool.snapshot('data', 'before');
  await using running = await startLoad(load, workspace);
  await systemClock.sleep(500, { signal });
  await pool.snapshot('data', 'x');
  await systemClock.sleep(small ? 1000 : 10_000, { signal });
  await pool.snapshot('data', 'y');
  await running.stop();
  return await differentBlocks(pool.imageOf('data', 'x'), pool.imageOf('data', 'y'));
}

async function differentBlocks(a: string, b: string): Promise<number[]> {
  await using one = await open(a, 'r');
  await using other = await open(b, 'r');
  const { size } = await one.stat();
  const [left, right] = [Buffer.alloc(chunkBytes), Buffer.alloc(chunkBytes)];
  const different: number[] = [];
  for (let offset = 0; offset < size; offset += chunkBytes) {
    await one.read(left, 0, chunkBytes, offset);
    await other.read(right, 0, chunkBytes, offset);
    if (left.equals(right)) continue;
    for (let at = 0; at < chunkBytes; at += blockBytes) {
      const same = left.compare(right, at, at + blockBytes, at, at + blockBytes) === 0;
      if (!same) different.push((offset + at) / blockBytes);
    }
  }
  return different;
}

async function compare(
  { rounds, samples, small, signal }: PoolBench,
  pool: BenchPool,
  { name, volume, changed }: { readonly name: string; readonly volume: string; readonly changed: readonly number[] },
): Promise<Compared> {
  let extents = 0;
  for (const snapshot of ['x', 'y']) {
    await using image = await open(pool.imageOf(volume, snapshot), 'r');
    extents = Math.max(extents, await countExtents(image.fd));
  }
  const label = `changes, ${name}`;
  const durations: number[] = [];
  const maps: number[] = [];
  let reportedBytes = 0;
  for (let round = 0; round < (small ? 1 : Math.max(5, rounds)); round++) {
    settle();
    const measured = await pool.run('changes', `${volume}@x`, `${volume}@y`, '-o', 'json');
    samples.add(label, measured, { volumeBytes: 0 });
    const reported = JSON.parse(measured.stdout) as Reported;
    durations.push(reported.durationMs);
    if (round === 0) reportedBytes = mustCover(reported.extents, changed);
    const startedMs = systemClock.monotonicMs();
    for (const snapshot of ['x', 'y', 'x']) await readMap(pool.imageOf(volume, snapshot), signal);
    maps.push(systemClock.monotonicMs() - startedMs);
  }
  const { wallSeconds } = samples.median(label)!;
  const changedBytes = changed.length * blockBytes;
  const medians = { durationMs: median(durations), mapsMs: median(maps) };
  return { name, extents, wallSeconds, ...medians, reportedBytes, changedBytes };
}

async function readMap(path: string, signal: AbortSignal): Promise<void> {
  await using image = await open(path, 'r');
  const { size } = await image.stat();
  const pages = mapPages(image.fd, { offset: 0, lengthBytes: size }, { signal });
  while ((await pages.next()).done !== true);
}

/** Both are sorted. @returns all that is reported, bytes */
function mustCover(extents: readonly Extent[], changed: readonly number[]): number {
  let at = 0;
  for (const block of changed) {
    const offset = block * blockBytes;
    while (at < extents.length && extents[at]!.offset + extents[at]!.length <= offset) at++;
    const found = extents[at];
    if (found === undefined || found.offset > offset) throw new Error(`the change at ${offset} is not reported`);
  }
  return extents.reduce((sum, { length }) => sum + length, 0);
}

function tableOf(compared: readonly Compared[]): string {
  return markdownTable(compared, [
    { header: 'Volume', value: ({ name }) => name },
    { header: 'Extents', value: ({ extents }) => String(extents), align: 'right' },
    { header: 'Process s', value: ({ wallSeconds }) => wallSeconds.toFixed(3), align: 'right' },
    { header: 'Comparing s', value: ({ durationMs }) => (durationMs / 1000).toFixed(3), align: 'right' },
    { header: 'Three maps s', value: ({ mapsMs }) => (mapsMs / 1000).toFixed(3), align: 'right' },
    { header: 'Changed MiB', value: ({ changedBytes }) => (changedBytes / mib).toFixed(1), align: 'right' },
    { header: 'Reported MiB', value: ({ reportedBytes }) => (reportedBytes / mib).toFixed(1), align: 'right' },
  ]);
}

function howOf(blocks: number): string {
  return `Every second of ${2 * blocks} blocks of 4 KiB is written through the image, and half of these, drawn at random, once more after the first
snapshot. "Extents" are those of the snapshot that has more. Under load: an ext4 in a volume of 1 GiB, in which fio overwrites 400 random pages a
second and writes a log; what has really changed there was found by comparing the images block by block. "Three maps" is what the file system
takes to tell them, one page after the other, to a program that does nothing with them.`;
}
