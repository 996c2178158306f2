/**
 * `npm run test:maintenance [STEPS] [KILLS]`: so many steps of the simulation (10,000 unless told, 500 to a seed) and so many
 * `kill -9` of a full maintenance (200), all that must hold looked at each time; writes `test/maintenance/results.md`. Ends
 * with 1 when one failed.
 */
import { writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';

import { systemClock } from '../../src/std/clock.ts';
import { findKopia, findPeer, whyWithout } from '../peers/peers.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { agedWorld, writeFolder } from './aged-world.ts';
import { killMaintenance, type MaintenanceKill } from './kill-maintenance.ts';
import { simulate, type SimulationResult } from './simulation.ts';
import type { WorldFormat } from './world.ts';

const steps = Number(process.argv[2] ?? 10_000);
const kills = Number(process.argv[3] ?? 200);
/** Apart from those of the tests. */
const firstSeed = 1000;
const stepsPerSeed = 500;
/** One seed in so many has a repository without epochs. */
const legacyEvery = 4;
/** One kill in so many is looked at by the real kopia too, which takes longer than all the rest. */
const kopiaEvery = 10;

/** Of the steps; a command takes as long as ten steps without. */
const kopiaShare = 0.04;

const simulations: SimulationResult[] = [];
const killed: MaintenanceKill[] = [];
const failures: string[] = [];
await Promise.all([simulateAll(), killAll()]);
process.exitCode = failures.length === 0 ? 0 : 1;

async function simulateAll(): Promise<void> {
  if (steps === 0) return;
  const program = await findPeer('kopia-clock');
  if (program === undefined) process.stdout.write(`no kopia in the simulation: ${await whyWithout('kopia-clock')}\n`);
  const kopia = program === undefined ? undefined : { program, share: kopiaShare };
  for (let n = 0; n * stepsPerSeed < steps; n++) {
    const seed = firstSeed + n;
    const format: WorldFormat = n % legacyEvery === legacyEvery - 1 ? 'legacy' : 'epochs';
    const run = { seed, format, steps: Math.min(stepsPerSeed, steps - n * stepsPerSeed), kopia };
    await attempt(`simulation, seed ${seed}`, async () => simulations.push(await simulate(run)));
  }
}

async function killAll(): Promise<void> {
  if (kills === 0) return;
  await using folder = await temporaryFolder('maintenance-run');
  const kopia = await findKopia();
  const templates = { rewrite: join(folder.path, 'rewrite'), remove: join(folder.path, 'remove') };
  for (const next of ['rewrite', 'remove'] as const) {
    await using world = await agedWorld(next, { seed: firstSeed, endMs: systemClock.nowMs() - 60_000 });
    await writeFolder(world, templates[next]);
  }
  for (let seed = firstSeed; seed < firstSeed + kills; seed++) {
    const looks = seed % kopiaEvery === 0 ? kopia : undefined;
    await attempt(`kill, seed ${seed}`, async () =>
      killed.push(await killMaintenance(templates, { seed, folder: folder.path, kopia: looks })),
    );
  }
}

async function attempt(what: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
    process.stdout.write(`ok ${what}\n`);
  } catch (error) {
    failures.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
    process.stdout.write(`FAILED ${failures.at(-1)}\n`);
  }
  await writeFile(join(import.meta.dirname, 'results.md'), report());
}

function report(): string {
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const ended = new Map<string, number>();
  for (const { ended: byCode } of simulations) {
    for (const [code, count] of Object.entries(byCode)) ended.set(code, (ended.get(code) ?? 0) + count);
  }
  const endings = [...ended].toSorted(([, a], [, b]) => b - a).map(([code, count]) => `${count} ${code}`);
  const kopiaDone = (what: keyof SimulationResult['kopia']): number => sum(simulations.map(({ kopia }) => kopia[what]));
  const hit = killed.filter((kill) => kill.killed);
  return `# Maintenance under writers, clocks and kills

Written by \`npm run test:maintenance${process.argv.length > 2 ? ` -- ${process.argv.slice(2).join(' ')}` : ''}\`, seeds from ${firstSeed}, on ${cpus().length} cores.

| Simulation | |
|---|---|
| Steps, after each of which everything visible was read | ${sum(simulations.map((one) => one.steps))} |
| Days that passed | ${sum(simulations.map((one) => one.days))} |
| Our maintenances that finished | ${sum(simulations.map((one) => one.maintenances))} |
| Commands of \`kopia\` that finished: snapshots, deletions, maintenances | ${kopiaDone('snapshots')}, ${kopiaDone('deletions')}, ${kopiaDone('maintenances')} |
| Maintenances, and commands of \`kopia\`, that others or a stop ended | ${sum([...ended.values()])} (${endings.join(', ') || 'none'}) |
| Packs and markers removed | ${sum(simulations.map((one) => one.removedBlobs))} |
| Seeds in which contents were dropped, epochs advanced (where there are any) | ${simulations.filter((one) => one.droppedContents).length}, ${simulations.filter((one) => one.epoch > 0).length} of ${simulations.length} |

| kill -9 of \`dray repository maintain --full\` | |
|---|---|
| Runs that held | ${killed.length} |
| Killed before their work was done | ${hit.length} (${hit.filter(({ next }) => next === 'rewrite').length} gathering packs, ${hit.filter(({ next }) => next === 'remove').length} removing them) |

In every fourth seed the repository is one of format version 1, without epochs. Two writers, a deleter, two maintainers and, in ${kopiaShare * 100} % of the steps, a \`kopia\` with the simulation's clock; between any two requests
of a maintainer the others act, or hours pass, between those of \`kopia\` minutes; listings are up to a minute late. After each kill, and after the next run, which has to finish: \`dray repository verify --level data\` is content, and at every tenth
so are \`kopia snapshot verify --verify-files-percent=100\` and a full maintenance by kopia. Failures: ${failures.length}.
${failures.length === 0 ? '' : `\n## Failures\n${failures.map((text) => `- ${text.split('\n')[0]}`).join('\n')}\n`}`;
}
