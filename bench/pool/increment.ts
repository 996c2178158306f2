/**
 * A hundredth of a sparse volume changes: `dray backup VOLUME`, which makes a snapshot and reads what differs from the last
 * one, beside peers that read the same image. The same changes of a volume of twice the size and data tell whether the
 * time is that of the changes. What came out last is restored and compared, byte for byte.
 */
import { firstDifference } from '../../src/cli/actions/first-difference.ts';
import { atLeast, type Bar } from '../bars.ts';
import { measure, type Measurement, withFlush } from '../measure.ts';
import { DrayPeer } from '../peers/dray.ts';
import { KopiaPeer } from '../peers/kopia.ts';
import { findOrBuildPeer, type Peer } from '../peers/peer.ts';
import { ResticPeer } from '../peers/restic.ts';
import { runsTable } from '../report.ts';
import { Samples } from '../samples.ts';
import { settle } from '../workspace.ts';
import { BenchPool } from './bench-pool.ts';
import type { PoolBench, PoolFindings, PoolPart } from './pool-part.ts';
import { changeVolume, fillVolume, type ChangePattern, type SparseVolume } from './sparse-volume.ts';

const gib = 2 ** 30;
const changedShare = 0.01;
const timesWanted = 10;
const drift = 0.1;

interface Subject extends SparseVolume {
  readonly name: 'once' | 'twice';
  readonly title: string;
  readonly device: string;
}

/** `readBytes` is of the volume, as the program says. */
interface Increment {
  readonly snapshot: string;
  readonly rung: string;
  readonly readBytes: number;
}

interface Running extends PoolBench {
  readonly pool: BenchPool;
  readonly dray: DrayPeer;
  readonly peers: readonly Peer[];
  readonly subjects: readonly Subject[];
  readonly changeBytes: number;
  /** Of this part alone. */
  readonly own: Samples;
  /** Of the same runs, and of a flush of what they left to the kernel. */
  readonly untilOnDisk: Samples;
}

export const incrementPart: PoolPart = {
  name: 'increment',
  title: 'Incremental backup of 1 %',
  needsBytes: 55 * gib,
  run: measureIncrement,
};

async function measureIncrement(bench: PoolBench): Promise<PoolFindings> {
  const { workspace, signal, small } = bench;
  await using pool = await BenchPool.create(workspace, { sizeBytes: 96 * gib, signal });
  const sizes = small ? { sizeBytes: 4 * gib, dataBytes: gib / 2 } : { sizeBytes: 64 * gib, dataBytes: 4 * gib };
  const subjects = [
    await makeSubject(pool, 'once', sizes),
    await makeSubject(pool, 'twice', { sizeBytes: 2 * sizes.sizeBytes, dataBytes: 2 * sizes.dataBytes }),
  ];
  const dray = new DrayPeer({ folder: workspace.path('dray'), signal });
  const peers = await peersOf(bench);
  const changeBytes = sizes.sizeBytes * changedShare;
  const running: Running = {
    ...bench,
    pool,
    dray,
    peers,
    subjects,
    changeBytes,
    own: new Samples(),
    untilOnDisk: new Samples(),
  };
  try {
    await storeAll(running);
    for (let round = 0; round < bench.rounds; round++) {
      console.log(`--- round ${round + 1} of ${bench.rounds}`);
      await runRound(running, { pattern: 'as an application', round });
    }
    for (let round = 0; round < bench.rounds; round++) await runRound(running, { pattern: 'scattered', round });
    await mustRestore(running);
  } finally {
    for (const peer of [dray, ...peers]) await peer.remove();
  }
  return { bars: barsOf(running), how: howOf(running), tables: runsTable(running.own) };
}

async function makeSubject(pool: BenchPool, name: Subject['name'], size: SparseVolume): Promise<Subject> {
  await pool.makeVolume(name, size);
  fillVolume(pool.imageOf(name), size, name);
  return { name, title: `${size.sizeBytes / gib} GiB`, device: await pool.attach(name), ...size };
}

async function peersOf({ workspace, signal }: PoolBench): Promise<Peer[]> {
  const peers: Peer[] = [];
  for (const [name, PeerClass] of [
    ['kopia', KopiaPeer],
    ['restic', ResticPeer],
  ] as const) {
    const program = await findOrBuildPeer(name);
    if (program !== undefined) peers.push(new PeerClass(program, { folder: workspace.path(name), signal }));
  }
  return peers;
}

async function storeAll(running: Running): Promise<void> {
  const { dray, peers, subjects, pool, own } = running;
  await dray.create();
  for (const subject of subjects) {
    settle();
    own.add(`full backup of ${subject.title}, dray`, await backUp(running, subject), {
      volumeBytes: subject.sizeBytes,
    });
  }
  const [{ sizeBytes: volumeBytes, title, name }] = subjects as [Subject];
  for (const peer of peers) {
    await peer.create();
    settle();
    own.add(`full backup of ${title}, ${peer.name}`, await peer.backup(pool.imageOf(name)), { volumeBytes });
  }
}

async function runRound(
  running: Running,
  { pattern, round }: { readonly pattern: ChangePattern; readonly round: number },
): Promise<void> {
  const { subjects, peers, changeBytes, pool, own, untilOnDisk, workspace, signal } = running;
  const seed = round * 2 + (pattern === 'scattered' ? 1 : 0);
  for (const subject of subjects) changeVolume(subject.device, subject, { bytes: changeBytes, pattern, seed });
  const runs = subjects.map((subject) => async () => {
    const name = `changes ${pattern}, ${subject.title}, dray`;
    const run = await backUp(running, subject);
    const flushed = await withFlush(run, { folder: workspace.folder, signal });
    if (run.rung !== 'extents') throw new Error(`${subject.title}: the changes came from ${run.rung}`);
    const about = { volumeBytes: subject.sizeBytes, readBytes: run.readBytes };
    own.add(name, run, about);
    untilOnDisk.add(name, flushed, about);
    if (subject.name === 'once') await diskAlone(running, subject, { pattern, bytes: run.readBytes });
  });
  const [once] = subjects as [Subject];
  // The peers read all of it whatever has changed.
  for (const peer of pattern === 'scattered' ? [] : peers) {
    runs.push(async () => {
      const name = `changes ${pattern}, ${once.title}, ${peer.name}`;
      const measured = await peer.backup(pool.imageOf(once.name));
      const flushed = await withFlush(measured, { folder: workspace.folder, signal });
      const about = { volumeBytes: once.sizeBytes };
      own.add(name, measured, about);
      untilOnDisk.add(name, flushed, about);
    });
  }
  for (let at = 0; at < runs.length; at++) {
    settle();
    await runs[(at + round) % runs.length]!();
  }
}

async function backUp({ dray, pool }: Running, { name }: Subject): Promise<Measurement & Increment> {
  const measured = await dray.run('backup', name, '--pool', pool.path, '-o', 'json');
  return { ...measured, ...(JSON.parse(measured.stdout) as Increment) };
}

/** As many bytes as an increment reads and stores, by a program that does nothing else. */
async function diskAlone(
  { own, pool, workspace, signal }: Running,
  { name, title, sizeBytes, dataBytes }: Subject,
  { pattern, bytes }: { readonly pattern: ChangePattern; readonly bytes: number },
): Promise<void> {
  settle();
  const program = new URL('disk-alone.ts', import.meta.url).pathname;
  const args = [program, pool.imageOf(name), ...[sizeBytes, dataBytes, bytes].map(String), workspace.folder];
  const measured = await measure({ program: process.execPath, args, signal });
  own.add(`changes ${pattern}, ${title}, the disk alone`, measured, { volumeBytes: sizeBytes, readBytes: bytes });
}

/** A fast backup of other bytes would be worth nothing. */
async function mustRestore(running: Running): Promise<void> {
  const { dray, pool, workspace, subjects, signal } = running;
  const [once] = subjects as [Subject];
  const { snapshot } = await backUp(running, once);
  const target = workspace.path('restored.img');
  await dray.restoreSnapshot(snapshot, target);
  const at = await firstDifference(pool.imageOf(once.name), target, { signal });
  await workspace.remove('restored.img');
  if (at !== undefined) throw new Error(`byte ${at} of what was backed up differs from the volume`);
}

function barsOf(running: Running): Bar[] {
  const { own, subjects } = running;
  const [once, twice] = subjects as [Subject, Subject];
  const secondsOf = (subject: Subject, pattern: ChangePattern): number =>
    own.median(`changes ${pattern}, ${subject.title}, dray`)?.wallSeconds ?? Number.NaN;
  const step = `1 % of ${once.title} changed`;
  const bars = ['kopia', 'restic'].flatMap((peer) => {
    const { byProcess, untilOnDisk } = timesFaster(running, peer);
    return [
      atLeast(step, `≥ ${timesWanted}× ${peer}`, timesWanted, byProcess),
      atLeast(`${step}, until on disk`, `≥ ${timesWanted}× ${peer}`, timesWanted, untilOnDisk),
    ];
  });
  const patterns: readonly ChangePattern[] = ['as an application', 'scattered'];
  for (const pattern of patterns) {
    const ratio = secondsOf(twice, pattern) / secondsOf(once, pattern);
    bars.push({
      step: `${step}, ${pattern}: ${twice.title} ÷ ${once.title}`,
      bar: `the same time ± ${drift * 100} %`,
      measured: `${ratio.toFixed(2)}×`,
      reached: Math.abs(ratio - 1) <= drift,
    });
  }
  return bars;
}

/** undefined for a peer that did not run. */
function timesFaster(
  { own, untilOnDisk, subjects: [once] }: Running,
  peer: string,
): { readonly byProcess: number | undefined; readonly untilOnDisk: number | undefined } {
  const of = (samples: Samples): number | undefined => {
    const [ours, theirs] = ['dray', peer].map((who) =>
      samples.median(`changes as an application, ${once!.title}, ${who}`),
    );
    return ours === undefined || theirs === undefined ? undefined : theirs.wallSeconds / ours.wallSeconds;
  };
  return { byProcess: of(own), untilOnDisk: of(untilOnDisk) };
}

function howOf({ subjects, changeBytes, peers }: Running): string {
  const [once, twice] = subjects as [Subject, Subject];
  const sizes = `${once.title} with ${once.dataBytes / gib} GiB of random bytes in regions of 256 MiB, evenly over it`;
  return `Attached volumes without a file system: ${sizes}, and ${twice.title} with ${twice.dataBytes / gib} GiB. Between two backups
${(changeBytes / 2 ** 20).toFixed(0)} MiB are overwritten through the device. "As an application": nine tenths of the bytes in runs of 4 MiB anywhere in the data (files,
logs), one tenth in pages of 16 KiB in two of the regions (a database). "Scattered": pieces of 64 KiB anywhere in the data, so that
nearly every chunk of 1 MiB has a change. \`dray backup VOLUME\` makes its snapshot itself; ${peers.map(({ name }) => name).join(' and ') || 'no peer'} read the volume's image as a file
(kopia in parallel pieces, which it cannot of a device over its standard input). dray flushes what it stores before it ends, the others do not:
"until on disk" is with a flush of the file system after each, \`sync --file-system\`. "The disk alone" is a program that reads as many bytes
as dray does, of the same image past the page cache, eight chunks at once, and writes as many, two files at once, each flushed; it does nothing with them.`;
}
