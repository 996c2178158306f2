/**
 * `npm run bench:pool`: pools and changed blocks, by the real program: what a snapshot costs an application, how fast
 * changes are found, and what an incremental backup takes beside kopia and restic: bench/results-pool.md.
 *
 *     npm run bench:pool -- [--rounds N] [--only NAME]… [--hour] [--small] [--folder PATH] [--out FILE]
 *
 * The parts: snapshots, latency, rewriting, changes, increment, no-change, thousand. `--hour` lets the hour of `rewriting` last
 * an hour. `--small` shows whether everything runs. With `--small` or `--only` no results are written unless `--out` says
 * where; `bench/notes-pool.md` goes into those of a whole run. Needs root, loop devices, mkfs.xfs, mkfs.ext4 and fio.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { xfsMissing } from './devices.ts';
import { describeMachine, loadNow } from './machine.ts';
import { findOrBuildPeer, versionOf } from './peers/peer.ts';
import { changesPart } from './pool/changes.ts';
import { fioMissing } from './pool/fio.ts';
import { incrementPart } from './pool/increment.ts';
import { latencyPart } from './pool/latency.ts';
import { noChangePart } from './pool/no-change.ts';
import type { PoolPart } from './pool/pool-part.ts';
import { poolBars, poolReportOf, type PoolResults } from './pool/pool-report.ts';
import { rewritingPart } from './pool/rewriting.ts';
import { snapshotsPart } from './pool/snapshots.ts';
import { thousandPart } from './pool/thousand.ts';
import { Samples } from './samples.ts';
import { openWorkspace } from './workspace.ts';

const parts: readonly PoolPart[] = [
  snapshotsPart,
  latencyPart,
  rewritingPart,
  changesPart,
  incrementPart,
  noChangePart,
  thousandPart,
];
const withFio: readonly PoolPart[] = [snapshotsPart, latencyPart, rewritingPart, changesPart];

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string' },
    only: { type: 'string', multiple: true, default: [] },
    hour: { type: 'boolean', default: false },
    small: { type: 'boolean', default: false },
    folder: { type: 'string' },
    out: { type: 'string' },
  },
});
const { only, hour, small } = flags;
const rounds = Number(flags.rounds ?? (small ? 1 : 3));
const whole = only.length === 0 && !small;
const out = flags.out ?? (whole ? join(import.meta.dirname, 'results-pool.md') : undefined);

const controller = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => controller.abort(new Error(`ended by ${name}`)));
}
const { signal } = controller;
try {
  await bench();
} catch (error) {
  console.error(error);
  process.exitCode = 1;
}

async function bench(): Promise<void> {
  const unknown = only.find((name) => !parts.some((part) => part.name === name));
  if (unknown !== undefined)
    throw new Error(`no part is called ${unknown}: ${parts.map(({ name }) => name).join(', ')}`);
  const missing = xfsMissing();
  if (missing !== undefined) throw new Error(`pools cannot be measured here: ${missing}`);
  const chosen = parts.filter(({ name }) => only.length === 0 || only.includes(name));
  const needsBytes = small ? 4e9 : Math.max(...chosen.map((part) => part.needsBytes));
  await using workspace = await openWorkspace(flags.folder, { needsBytes });
  const machine = await describeMachine(workspace.folder);
  if (loadNow() > 0.5)
    console.log(`other processes are at work (load ${loadNow().toFixed(2)}): take the figures with care`);
  const skipped: string[] = [];
  const found: PoolResults['found'][number][] = [];
  const samples = new Samples();
  for (const part of chosen) {
    const without = withFio.includes(part) ? fioMissing() : undefined;
    if (without !== undefined) {
      skipped.push(`${part.name}: ${without}`);
      continue;
    }
    console.log(`--- ${part.title}`);
    const findings = await part.run({ workspace, samples, rounds, small, hour, signal });
    found.push({ part, findings });
  }
  const notes = whole ? await readFile(join(import.meta.dirname, 'notes-pool.md'), 'utf8') : undefined;
  const date = new Date().toISOString().slice(0, 10);
  const report = poolReportOf({ date, rounds, machine, tools: await tools(skipped), found, notes, skipped });
  console.log(`\n${report}`);
  if (out !== undefined) await writeFile(out, report);
  const missed = poolBars(found).filter(({ reached }) => reached === false).length;
  console.log(`${missed} bars missed${out === undefined ? '; nothing was written' : `; written to ${out}`}`);
}

/** What a reader of the results has to know of the programs; what is not there goes to `skipped`. */
async function tools(skipped: string[]): Promise<(readonly [name: string, version: string])[]> {
  const found: (readonly [name: string, version: string])[] = [
    ['dray', versionOf(new URL('../bin/dray', import.meta.url).pathname, '--version')],
  ];
  if (only.length > 0 && !only.includes(incrementPart.name)) return found;
  for (const [name, ask] of [
    ['kopia', '--version'],
    ['restic', 'version'],
  ] as const) {
    const program = await findOrBuildPeer(name);
    if (program === undefined) skipped.push(`${name}: not installed, and it could not be built without Go`);
    else found.push([name, versionOf(program, ask)]);
  }
  return found;
}
