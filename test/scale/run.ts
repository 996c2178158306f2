/**
 * `npm run test:scale`: the whole of what is proved at 128 GiB and 16 TiB, with kopia in it, and what it cost. Takes about
 * a quarter of an hour, most of it kopia reading holes. Writes `results.md` beside itself.
 */
import { writeFile } from 'node:fs/promises';
import { arch, availableParallelism, cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';

import { findKopia } from '../peers/peers.ts';
import { scaleRun, type ScaleRequest, type ScaleStep } from './scale-run.ts';
import { mountXfs, xfsMissing } from './xfs-folder.ts';

const gib = 2 ** 30;
const volumes: readonly (Pick<ScaleRequest, 'sizeBytes' | 'byKopia'> & { readonly name: string })[] = [
  { name: '128 GiB', sizeBytes: 128 * gib, byKopia: 'data' },
  { name: '16 TiB', sizeBytes: 16 * 1024 * gib, byKopia: 'lists' },
];

const kopia = await findKopia();
const missing = kopia === undefined ? 'needs kopia: run test/peers/build.sh kopia' : xfsMissing();
if (missing !== false || kopia === undefined) throw new Error(`cannot run here: ${missing}`);

const tables: string[] = [];
for (const { name, sizeBytes, byKopia } of volumes) {
  await using xfs = await mountXfs();
  const { signal } = new AbortController();
  const steps = await scaleRun({ sizeBytes, folder: xfs.path, kopia, byKopia, signal });
  tables.push(`## ${name}\n\n${table(steps)}`);
  process.stdout.write(`${tables.at(-1)!}\n`);
}
await writeFile(join(import.meta.dirname, 'results.md'), `${[heading(), ...tables].join('\n\n')}\n`);

function heading(): string {
  const machine = `${availableParallelism()} × ${cpus()[0]?.model ?? arch()}, ${Math.round(totalmem() / gib)} GiB, Linux ${release()}`;
  return [
    '# Sparse volumes of 128 GiB and 16 TiB',
    '',
    'Written by `npm run test:scale`. A new repository in a directory, default settings; about 20 MiB of data in some 30',
    'places; images and restored files on XFS. Every step ended well and the restored files are equal. Peak memory is the',
    "process's high-water mark (an idle Node has about 50 MiB). `snapshot verify` with `--verify-files-percent=100` reads",
    'every byte, holes too; without it kopia looks up every chunk.',
    '',
    `Machine: ${machine}`,
  ].join('\n');
}

function table(steps: readonly ScaleStep[]): string {
  const rows = steps.map(
    ({ what, seconds, peakBytes }) =>
      `| \`${what}\` | ${seconds.toFixed(1)} s | ${Math.round(peakBytes / 2 ** 20)} MiB |`,
  );
  return ['| Step | Time | Peak memory |', '|---|---|---|', ...rows].join('\n');
}
