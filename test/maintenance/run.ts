/**
 * `npm run test:maintenance [STEPS] [KILLS]`: so many steps of the simulation (10,000 unless told, 500 to a seed, several seeds
 * at once in processes of their own, because much of the time goes by in `kopia`) and so many `kill -9` of a full
 * maintenance (200), all that must hold looked at each time; writes `test/maintenance/results.md`, where a part that was
 * not asked for (0) stays as it is. Ends with 1 when one failed.
 */
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { messageChain } from '../../src/std/causes.ts';
import { systemClock } from '../../src/std/clock.ts';
import { mapConcurrent } from '../../src/std/map-concurrent.ts';
import { toError } from '../../src/std/to-error.ts';
import { findKopia, findPeer, whyWithout } from '../peers/peers.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { agedWorld, writeFolder } from './aged-world.ts';
import { killMaintenance, type MaintenanceKill } from './kill-maintenance.ts';
import { resultsText } from './results-text.ts';
import type { SeedOutcome } from './simulate-seed.ts';
import type { SimulationResult, SimulationRun } from './simulation.ts';

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
const seedsAtOnce = cpus().length + 1;
const resultsFile = join(import.meta.dirname, 'results.md');
const { signal } = new AbortController();

const outcome = { simulations: [] as SimulationResult[], killed: [] as MaintenanceKill[], failures: [] as string[] };
const { simulations, killed, failures } = outcome;
const before = await readFile(resultsFile, 'utf8').catch(() => '');
let written: Promise<void> = Promise.resolve();
await Promise.all([simulateAll(), killAll()]);
process.exitCode = failures.length === 0 ? 0 : 1;

async function simulateAll(): Promise<void> {
  if (steps === 0) return;
  const program = await findPeer('kopia-clock');
  if (program === undefined) process.stdout.write(`no kopia in the simulation: ${await whyWithout('kopia-clock')}\n`);
  const kopia = program === undefined ? undefined : { program, share: kopiaShare };
  const runs = Array.from({ length: Math.ceil(steps / stepsPerSeed) }, (_, n) => ({
    seed: firstSeed + n,
    format: n % legacyEvery === legacyEvery - 1 ? ('legacy' as const) : ('epochs' as const),
    steps: Math.min(stepsPerSeed, steps - n * stepsPerSeed),
    kopia,
  }));
  const all = mapConcurrent(runs, { limit: seedsAtOnce, signal }, async (run) => {
    await attempt(`simulation, seed ${run.seed}`, async () => simulations.push(await inProcess(run)));
  });
  for await (const _ of all);
}

/** @throws {Error} what failed in it */
async function inProcess(run: SimulationRun): Promise<SimulationResult> {
  const program = join(import.meta.dirname, 'simulate-seed.ts');
  const { stdout } = await promisify(execFile)(process.execPath, [program, JSON.stringify(run)]);
  const said = JSON.parse(stdout) as SeedOutcome;
  if ('failed' in said) throw new Error(said.failed);
  return said.result;
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
    failures.push(`${what}: ${messageChain(toError(error))}`);
    process.stdout.write(`FAILED ${failures.at(-1)}\n`);
  }
  // One after the other, and the last says most.
  written = written.then(async () => await writeFile(resultsFile, resultsText(outcome, before)));
  await written;
}
