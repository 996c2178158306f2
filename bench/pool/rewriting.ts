/**
 * A volume under random writes with a snapshot a minute, which would fall into ever more extents, and is gathered beside
 * it whenever it has too many. The shortened hour has fewer minutes, each as long and as busy as it is.
 */
import { open } from 'node:fs/promises';

import { countExtents } from '../../src/kernel/extent-map.ts';
import { imageFigures } from '../../src/pool/inspect-pool.ts';
import { Pool } from '../../src/pool/pool.ts';
import { rewriteVolume } from '../../src/pool/rewrite-volume.ts';
import { systemClock } from '../../src/std/clock.ts';
import { systemRng } from '../../src/std/rng.ts';
import { median } from '../samples.ts';
import { markdownTable } from '../table.ts';
import { BenchPool } from './bench-pool.ts';
import { layOut, startLoad, type Load } from './fio.ts';
import type { PoolBench, PoolFindings, PoolPart } from './pool-part.ts';

const gib = 2 ** 30;
const mib = 2 ** 20;
const pagesPerSecond = 20;
/** Gathering takes as much longer as there are snapshots that share what is gathered. */
const snapshotsKept = 3;
const extentsAllowed = 2000;
const frozenMsMax = 50;

interface Moment {
  readonly extents: number;
  readonly frozenMs: number;
}

interface Rewriting {
  begun: number;
  /** To the end: the last may not have come there. */
  runs: number;
  gatheredBytes: number;
  busyBytes: number;
}

export const rewritingPart: PoolPart = {
  name: 'rewriting',
  title: 'A volume that is gathered while it is written to',
  needsBytes: 24 * gib,
  run: measureRewriting,
};

async function measureRewriting({ workspace, small, hour, signal }: PoolBench): Promise<PoolFindings> {
  const snapshots = small ? 5 : hour ? 60 : 8;
  const everyMs = small ? 5000 : 60_000;
  // A volume with more is gathered.
  const extentsGood = small ? 100 : 1000;
  await using pool = await BenchPool.create(workspace, { sizeBytes: 24 * gib, signal });
  await pool.makeVolume('data', { sizeBytes: 2 * gib, mkfs: 'ext4' });
  const folder = await pool.mount('data');
  const pagesBytes = (small ? 256 : 1024) * mib;
  const load: Load = { folder, pagesBytes, pagesPerSecond, pages: 'randwrite', logBytesPerSecond: 0 };
  layOut(load);
  const moments: Moment[] = [];
  const done: Rewriting = { begun: 0, runs: 0, gatheredBytes: 0, busyBytes: 0 };
  await using running = await startLoad(load, workspace);
  const enough = new AbortController();
  const stop = AbortSignal.any([signal, enough.signal]);
  const gathering = keepGathered(pool, done, { extentsGood, everyMs: everyMs / 20, signal: stop });
  gathering.catch(() => {}); // Thrown below.
  try {
    for (let number = 0; number < snapshots; number++) {
      const next = systemClock.sleep(everyMs, { signal });
      moments.push(await takeSnapshot(pool, `minute-${number}`));
      if (number >= snapshotsKept) await pool.run('snapshot', 'delete', `data@minute-${number - snapshotsKept}`);
      await next;
    }
  } finally {
    enough.abort();
    await gathering;
  }
  await running.stop();
  return findingsOf(moments, done, { hour, everyMs, extentsGood, pagesBytes });
}

async function takeSnapshot(pool: BenchPool, name: string): Promise<Moment> {
  const { frozenMs } = await pool.snapshot('data', name);
  await using image = await open(pool.imageOf('data', name), 'r');
  const extents = await countExtents(image.fd);
  console.log(`${name}: ${extents} extents, ${frozenMs} ms frozen`);
  return { extents, frozenMs };
}

/** Until the signal. A failure is thrown to who waits for it. */
async function keepGathered(
  pool: BenchPool,
  done: Rewriting,
  {
    extentsGood,
    everyMs,
    signal,
  }: { readonly extentsGood: number; readonly everyMs: number; readonly signal: AbortSignal },
): Promise<void> {
  const opened = Pool.open(pool.path, { clock: systemClock, rng: systemRng });
  const image = pool.imageOf('data');
  try {
    while (true) {
      await systemClock.sleep(everyMs, { signal });
      if ((await imageFigures(image, { signal })).extents <= extentsGood) continue;
      done.begun += 1;
      const startedMs = systemClock.monotonicMs();
      const { gatheredBytes, busyBytes } = await rewriteVolume(opened, 'data', { onProgress: () => {}, signal });
      console.log(`gathered in ${Math.round(systemClock.monotonicMs() - startedMs)} ms`);
      done.runs += 1;
      done.gatheredBytes += gatheredBytes;
      done.busyBytes += busyBytes;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

interface Setting {
  readonly hour: boolean;
  readonly everyMs: number;
  readonly extentsGood: number;
  readonly pagesBytes: number;
}

function findingsOf(
  moments: readonly Moment[],
  { begun, runs, gatheredBytes, busyBytes }: Rewriting,
  { hour, everyMs, extentsGood, pagesBytes }: Setting,
): PoolFindings {
  const most = Math.max(...moments.map(({ extents }) => extents));
  const longest = Math.max(...moments.map(({ frozenMs }) => frozenMs));
  const bars = [
    {
      step: hour ? 'An hour of random writes' : 'An hour of random writes, shortened',
      bar: `≤ ${extentsAllowed} extents at each snapshot, or frozen < ${frozenMsMax} ms all the same`,
      measured: `at most ${most} extents, ${longest} ms`,
      reached: most <= extentsAllowed || longest < frozenMsMax,
    },
  ];
  const quarter = Math.max(1, Math.floor(moments.length / 4));
  const quarters = [0, 1, 2, 3].map((number) => ({
    name: `${number + 1}`,
    taken: moments.slice(number * quarter, number === 3 ? undefined : (number + 1) * quarter),
  }));
  const tables = markdownTable(
    quarters.filter(({ taken }) => taken.length > 0),
    [
      { header: 'Quarter', value: ({ name }) => name },
      { header: 'Snapshots', value: ({ taken }) => String(taken.length), align: 'right' },
      {
        header: 'Extents',
        value: ({ taken }) => median(taken.map(({ extents }) => extents)).toFixed(0),
        align: 'right',
      },
      {
        header: 'Most',
        value: ({ taken }) => String(Math.max(...taken.map(({ extents }) => extents))),
        align: 'right',
      },
      {
        header: 'Frozen ms',
        value: ({ taken }) => median(taken.map(({ frozenMs }) => frozenMs)).toFixed(0),
        align: 'right',
      },
      {
        header: 'Longest',
        value: ({ taken }) => String(Math.max(...taken.map(({ frozenMs }) => frozenMs))),
        align: 'right',
      },
    ],
  );
  const sizes = [gatheredBytes, busyBytes].map((bytes) => `${(bytes / gib).toFixed(1)} GiB`);
  const how = `An ext4 in a volume of 2 GiB, in which fio overwrites ${pagesPerSecond} random pages of 4 KiB a second of a file of ${pagesBytes / mib} MiB; ${moments.length} snapshots,
one each ${everyMs / 1000} s, of which the last ${snapshotsKept} stay. Whenever the image has more than ${extentsGood} extents, the volume is gathered (\`rewriteVolume\`, in the process
that measures): ${begun} times, of which ${runs} came to the end; they gathered ${sizes[0]} and left ${sizes[1]} that were written to meanwhile.`;
  return { bars, how, tables };
}
