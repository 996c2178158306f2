/** A backup when nothing has changed, of volumes of several sizes whose images have many extents. */
import { open } from 'node:fs/promises';

import { keystream } from '../../src/cli/actions/tour-image.ts';
import { countExtents } from '../../src/kernel/extent-map.ts';
import type { Bar } from '../bars.ts';
import { DrayPeer } from '../peers/dray.ts';
import { runsTable } from '../report.ts';
import { Samples } from '../samples.ts';
import { settle } from '../workspace.ts';
import { BenchPool } from './bench-pool.ts';
import type { PoolBench, PoolFindings, PoolPart } from './pool-part.ts';

const gib = 2 ** 30;
/** As much as a pool has placed together: each piece is an extent of its own. */
const pieceBytes = 128 * 1024;
const secondsMax = 0.5;

export const noChangePart: PoolPart = {
  name: 'no-change',
  title: 'No change at all',
  needsBytes: 8 * gib,
  run: measureNoChange,
};

async function measureNoChange({ workspace, small, rounds, signal }: PoolBench): Promise<PoolFindings> {
  const sizes = small ? [1, 4] : [1, 16, 64];
  const pieces = small ? 200 : 2000;
  const own = new Samples();
  const bars: Bar[] = [];
  await using pool = await BenchPool.create(workspace, { sizeBytes: 16 * gib, signal });
  const dray = new DrayPeer({ folder: workspace.path('dray'), signal });
  try {
    await dray.create();
    for (const size of sizes) {
      const volumeBytes = size * gib;
      const volume = `size-${size}`;
      await pool.makeVolume(volume, { sizeBytes: volumeBytes });
      const extents = await scatter(pool.imageOf(volume), { sizeBytes: volumeBytes, pieces });
      await pool.attach(volume);
      const backUp = ['backup', volume, '--pool', pool.path, '-o', 'json'];
      own.add(`first backup of ${size} GiB`, await dray.run(...backUp), { volumeBytes });
      for (let round = 0; round < Math.max(rounds, small ? 1 : 5); round++) {
        settle();
        const measured = await dray.run(...backUp);
        const { readBytes } = JSON.parse(measured.stdout) as { readonly readBytes: number };
        own.add(`no change of ${size} GiB`, measured, { volumeBytes, readBytes });
      }
      const { wallSeconds } = own.median(`no change of ${size} GiB`)!;
      bars.push({
        step: `No change of ${size} GiB, ${extents} extents`,
        bar: `< ${secondsMax} s`,
        measured: `${wallSeconds.toFixed(3)} s, the process and all`,
        reached: wallSeconds < secondsMax,
      });
    }
  } finally {
    await dray.remove();
  }
  return { bars, how: howOf(pieces), tables: runsTable(own) };
}

/** @returns how many extents the image has then */
async function scatter(
  path: string,
  { sizeBytes, pieces }: { readonly sizeBytes: number; readonly pieces: number },
): Promise<number> {
  await using file = await open(path, 'r+');
  const strideBytes = Math.floor(sizeBytes / pieces / pieceBytes) * pieceBytes;
  const bytes = keystream('no change', pieces * pieceBytes);
  for (let piece = 0; piece < pieces; piece++) {
    await file.write(bytes, piece * pieceBytes, pieceBytes, piece * strideBytes);
  }
  await file.sync();
  return await countExtents(file.fd);
}

function howOf(pieces: number): string {
  return `Attached volumes without a file system, ${pieces} pieces of 128 KiB evenly over each. \`dray backup VOLUME\` makes a snapshot, compares it with the
last one, stores a snapshot in the repository, and removes the old base.`;
}
