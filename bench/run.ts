/**
 * `npm run bench`: dray and its peers on the same image, disk and page cache, interleaved; the parts of the data path
 * alone; and what is made of it: bench/results.md.
 *
 *     npm run bench -- [--quick] [--rounds N] [--size GIB] [--folder PATH] [--out FILE]
 *
 * `--quick` is one round of 1 GiB that shows whether everything runs; it writes no results unless `--out` says where.
 * `bench/notes.md`, where there is one, goes into the results as it is: why what is missed is missed, and what was tried.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { writeImage } from '../src/cli/actions/tour-image.ts';
import { barsOf } from './bars.ts';
import { devicesMissing } from './devices.ts';
import { limitsOf } from './limit.ts';
import { describeMachine, loadNow } from './machine.ts';
import { measure } from './measure.ts';
import { measureParts, medianParts, type PartResult } from './parts.ts';
import { DrayPeer } from './peers/dray.ts';
import { KopiaPeer } from './peers/kopia.ts';
import { findOrBuildPeer, type Peer } from './peers/peer.ts';
import { ResticPeer } from './peers/restic.ts';
import { reportOf } from './report.ts';
import { runRound } from './rounds.ts';
import { median, Samples } from './samples.ts';
import { measureSparse } from './sparse.ts';
import { openWorkspace, type Workspace } from './workspace.ts';

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    size: { type: 'string' },
    folder: { type: 'string' },
    out: { type: 'string' },
  },
});
const rounds = Number(flags.rounds ?? (flags.quick ? 1 : 5));
const sizeBytes = Number(flags.size ?? (flags.quick ? 1 : 4)) * 2 ** 30;
const out = flags.out ?? (flags.quick ? undefined : join(import.meta.dirname, 'results.md'));
/** The image, three repositories, kopia's cache, what is restored, and the parts. */
const spaceFactor = 6;

const controller = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => controller.abort(new Error(`ended by ${name}`)));
}
const { signal } = controller;
try {
  await using workspace = await openWorkspace(flags.folder, { needsBytes: sizeBytes * spaceFactor });
  await bench(workspace);
} catch (error) {
  console.error(error);
  process.exitCode = 1;
}

async function bench(workspace: Workspace): Promise<void> {
  const machine = await describeMachine(workspace.folder);
  if (loadNow() > 0.5)
    console.log(`other processes are at work (load ${loadNow().toFixed(2)}): take the figures with care`);
  const samples = new Samples();
  const image = workspace.path('image.img');
  await writeImage(image, { sizeBytes, seed: 'bench', dense: true, signal });
  const { peers, dray, skipped } = await peersIn(workspace);
  const { startUpSeconds, idleNodeBytes } = await measureSmall(samples);
  const parts: (readonly PartResult[])[] = [];
  for (let round = 0; round < rounds; round++) {
    console.log(`--- round ${round + 1} of ${rounds}`);
    const beforeRemoval = async (): Promise<void> => void parts.push(await partsOn(workspace, image));
    await runRound({ workspace, samples, dray, peers, image, sizeBytes, signal, beforeRemoval }, round);
  }
  await workspace.remove('image.img');
  console.log('--- sparse volumes');
  skipped.push(...(await measureSparse({ workspace, samples, rounds: Math.min(rounds, 3), signal })));
  const storedShare = (samples.median('full backup, dray')?.storedBytes ?? 0) / sizeBytes;
  const medians = medianParts(parts);
  const limits = limitsOf(medians, storedShare);
  const measured = { samples, parts: medians, limits, startUpSeconds, idleNodeBytes, sizeBytes };
  const date = new Date().toISOString().slice(0, 10);
  const notes = await readFile(join(import.meta.dirname, 'notes.md'), 'utf8').catch(() => undefined);
  const tools = peers.map(({ name, version, how }) => ({ name, version, how }));
  const report = reportOf({ ...measured, date, rounds, machine, tools, skipped, notes });
  console.log(`\n${report}`);
  if (out !== undefined) await writeFile(out, report);
  const missed = barsOf(measured).filter(({ reached }) => reached === false).length;
  console.log(`${missed} bars missed${out === undefined ? '; nothing was written' : `; written to ${out}`}`);
}

async function peersIn(workspace: Workspace): Promise<{ peers: Peer[]; dray: DrayPeer; skipped: string[] }> {
  const skipped: string[] = [];
  const dray = new DrayPeer({ folder: workspace.path('dray'), signal });
  const peers: Peer[] = [dray];
  for (const [name, PeerClass] of [
    ['kopia', KopiaPeer],
    ['restic', ResticPeer],
  ] as const) {
    const program = await findOrBuildPeer(name);
    if (program === undefined) skipped.push(`${name}: not installed, and it could not be built without Go`);
    else peers.push(new PeerClass(program, { folder: workspace.path(name), signal }));
  }
  const missing = devicesMissing();
  if (missing !== undefined) skipped.push(`restore to a device: ${missing}`);
  return { peers, dray, skipped };
}

/** A program that does nothing, and a Node that does nothing. */
async function measureSmall(samples: Samples): Promise<{ startUpSeconds: number; idleNodeBytes: number }> {
  const program = new URL('../bin/dray', import.meta.url).pathname;
  const [empty, idle] = ['start-up (dray --version)', 'idle Node, for 0.2 s'] as const;
  const idleArgs = ['-e', 'setTimeout(() => {}, 200)'];
  for (let run = 0; run < 10; run++) {
    samples.add(empty, await measure({ program, args: ['--version'], signal }), { volumeBytes: 0 });
    samples.add(idle, await measure({ program: process.execPath, args: idleArgs, signal }), { volumeBytes: 0 });
  }
  const idleNodeBytes = median(samples.of(idle).map(({ peakBytes }) => peakBytes));
  return { startUpSeconds: samples.median(empty)!.wallSeconds, idleNodeBytes };
}

async function partsOn(workspace: Workspace, image: string): Promise<PartResult[]> {
  console.log('--- parts');
  const packs = join(workspace.path('dray'), 'repository', 'p');
  return await measureParts(workspace, {
    image,
    sizeBytes,
    packs,
    signal,
  });
}
