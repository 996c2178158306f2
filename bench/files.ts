/**
 * `npm run bench:files -- [--rounds N] [--files N] [--size GIB] [--folder PATH]`: restoring many small files, and one large
 * one, from a repository that kopia wrote: dray and kopia, and restic from its own; in turns, each to a new folder. Nothing
 * small is removed before the end: ext4 searches long for a place for a new file where many have just been removed.
 * Writes bench/results-files.md.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { writeImage } from '../src/cli/actions/tour-image.ts';
import { seededRng } from '../src/std/rng.ts';
import { describeMachine } from './machine.ts';
import { measure, type Measurement, withFlush } from './measure.ts';
import { kopiaEnvironment } from './peers/kopia-settings.ts';
import { findOrBuildPeer, versionOf } from './peers/peer.ts';
import { Samples } from './samples.ts';
import { markdownTable } from './table.ts';
import { openWorkspace, settle, warm } from './workspace.ts';

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    files: { type: 'string', default: '100000' },
    size: { type: 'string', default: '10' },
    folder: { type: 'string' },
    out: { type: 'string', default: join(import.meta.dirname, 'results-files.md') },
  },
});
const rounds = Number(flags.rounds);
const files = Number(flags.files);
const largeBytes = Number(flags.size) * 2 ** 30;
const filesPerFolder = 500;
const fileBytesMax = 16 * 1024;
const drayProgram = new URL('../bin/dray', import.meta.url).pathname;
const { signal } = new AbortController();

await using workspace = await openWorkspace(flags.folder, {
  needsBytes: largeBytes * 4 + (files * fileBytesMax * (3 + 3 * rounds)) / 2,
});
const machine = await describeMachine(workspace.folder);
const kopia = await findOrBuildPeer('kopia');
const restic = await findOrBuildPeer('restic');
if (kopia === undefined || restic === undefined) throw new Error('kopia and restic are needed');
const samples = new Samples();
/** Of the same runs, and of a flush of what they left to the kernel. */
const untilOnDisk = new Samples();
const env = {
  ...kopiaEnvironment(workspace.path('kopia-client')),
  RESTIC_REPOSITORY: workspace.path('restic'),
  RESTIC_PASSWORD: 'bench',
  RESTIC_CACHE_DIR: workspace.path('restic-cache'),
  DRAY_REPOSITORY: workspace.path('kopia'),
  DRAY_PASSWORD: 'bench',
  DRAY_CACHE_DIR: workspace.path('dray-cache'),
};
const run = async (program: string, ...args: string[]): Promise<Measurement> =>
  await measure({ program, args, env, signal });

await mkdir(workspace.path('kopia'));
await run(kopia, 'repository', 'create', 'filesystem', `--path=${workspace.path('kopia')}`);
await run(restic, 'init');
const cases = [
  ['small files', workspace.path('small'), await writeSmall(workspace.path('small'))],
  ['large file', workspace.path('large'), await writeLarge(workspace.path('large'))],
] as const;
for (const [name, source, volumeBytes] of cases) {
  await run(kopia, 'snapshot', 'create', source, '--no-progress');
  await run(restic, '--quiet', 'backup', source);
  await restores(name, source, volumeBytes);
}
await writeFile(flags.out, report());

async function restores(name: string, source: string, volumeBytes: number): Promise<void> {
  const { stdout } = await run(kopia!, 'snapshot', 'list', source, '--json');
  const [{ id } = { id: '' }] = JSON.parse(stdout) as readonly { id: string }[];
  type Restore = (target: string) => Promise<Measurement>;
  const peers: readonly (readonly [string, Restore])[] = [
    ['dray', async (target) => await run(drayProgram, 'restore', id, `${target}/`, '--quiet')],
    ['kopia', async (target) => await run(kopia!, 'snapshot', 'restore', id, target, '--no-progress')],
    [
      'restic',
      async (target) => await run(restic!, '--quiet', 'restore', 'latest', '--path', source, '--target', target),
    ],
  ];
  for (let round = 0; round < rounds; round++) {
    console.log(`--- ${name}, round ${round + 1} of ${rounds}`);
    for (const [peer, restore] of round % 2 === 0 ? peers : peers.toReversed()) {
      if (peer === 'kopia') await run(kopia!, 'cache', 'clear');
      for (const repository of ['kopia', 'restic']) await warm(workspace.path(repository));
      settle();
      const folder = `restored by ${peer}, ${name}, ${round}`;
      const measured = await restore(workspace.path(folder));
      const flushed = await withFlush(measured, { folder: workspace.path(folder), signal });
      samples.add(`${name}, ${peer}`, measured, { volumeBytes });
      untilOnDisk.add(`${name}, ${peer}`, flushed, { volumeBytes });
      if (name === 'large file') await workspace.remove(folder);
    }
  }
}

async function writeSmall(folder: string): Promise<number> {
  const rng = seededRng(1);
  let bytes = 0;
  for (let file = 0; file < files; file++) {
    const parent = join(folder, `folder-${Math.floor(file / filesPerFolder)}`);
    if (file % filesPerFolder === 0) await mkdir(parent, { recursive: true });
    const content = rng.bytes(1 + Math.floor(rng.uniform() * fileBytesMax));
    bytes += content.length;
    await writeFile(join(parent, `file-${file}`), content);
  }
  return bytes;
}

async function writeLarge(folder: string): Promise<number> {
  await mkdir(folder);
  await writeImage(join(folder, 'image'), { sizeBytes: largeBytes, seed: 'bench', dense: true, signal });
  return largeBytes;
}

function report(): string {
  const rows = samples.names.map((name) => ({ name, ...samples.median(name)! }));
  const seconds = (of: Samples, name: string): number => of.median(name)?.wallSeconds ?? Number.NaN;
  const ratios = cases.flatMap(([name]) =>
    ['kopia', 'restic'].map((peer) => {
      const [wall, onDisk] = [samples, untilOnDisk].map(
        (of) => seconds(of, `${name}, ${peer}`) / seconds(of, `${name}, dray`),
      );
      return { name: `${name}: ${peer} ÷ dray`, wall: wall!, onDisk: onDisk! };
    }),
  );
  const processor = machine.find(([label]) => label === 'Processor')?.[1] ?? 'unknown';
  return `# Restoring files

Written by \`npm run bench:files\`: ${rounds} rounds of ${files} files of 1 to ${fileBytesMax} bytes, and of one of ${flags.size} GiB (half random, a quarter zeros, a quarter like text), each to a new folder; repositories in the
page cache, kopia's own cache cleared. dray flushes what it has restored before it ends, kopia and restic do not: "until on disk" is with a flush
of the file system (\`sync --file-system\`) after each of them. ${processor}. dray ${versionOf(drayProgram, '--version')},
kopia ${versionOf(kopia!, '--version').split(' ')[0]}, ${versionOf(restic!, 'version')}; medians.

${markdownTable(rows, [
  { header: 'Run', value: ({ name }) => name },
  { header: 'Seconds', value: ({ wallSeconds }) => wallSeconds.toFixed(2), align: 'right' },
  { header: 'Until on disk', value: ({ name }) => seconds(untilOnDisk, name).toFixed(2), align: 'right' },
  {
    header: 'CPU seconds',
    value: ({ cpuSecondsPerGigabyte, volumeBytes }) => ((cpuSecondsPerGigabyte * volumeBytes) / 1e9).toFixed(2),
    align: 'right',
  },
  { header: 'Peak MiB', value: ({ peakBytes }) => (peakBytes / 2 ** 20).toFixed(0), align: 'right' },
])}
${markdownTable(ratios, [
  { header: 'Bar (at least 1.5)', value: ({ name }) => name },
  { header: 'Of the process', value: ({ wall }) => wall.toFixed(2), align: 'right' },
  { header: 'Until on disk', value: ({ onDisk }) => onDisk.toFixed(2), align: 'right' },
])}`;
}
