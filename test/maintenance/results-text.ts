/** What `npm run test:maintenance` writes down: a table for each part; that of a part which did not run is kept. */
import { cpus } from 'node:os';

import type { MaintenanceKill } from './kill-maintenance.ts';
import type { SimulationResult } from './simulation.ts';

export interface MaintenanceOutcome {
  readonly simulations: readonly SimulationResult[];
  readonly killed: readonly MaintenanceKill[];
  readonly failures: readonly string[];
}

const simulationHead = '| Simulation | |';
const killsHead = '| kill -9 of `dray repository maintain --full` | |';

/** `before`: the text as it was. */
export function resultsText({ simulations, killed, failures }: MaintenanceOutcome, before: string): string {
  const failed = failures.map((text) => `- ${text.split('\n')[0]}`);
  return `# Maintenance under writers, clocks and kills

Written by \`npm run test:maintenance -- STEPS KILLS\`, with the numbers that the tables tell.

${simulations.length === 0 ? kept(simulationHead, before) : simulationTable(simulations)}

${killed.length === 0 ? kept(killsHead, before) : killsTable(killed)}

In every fourth seed the repository has no epochs (format version 1). Two writers, a deleter, two maintainers and, in one of 25 steps, a \`kopia\` with the simulation's clock; between any two requests
of a maintainer the others act, or hours pass, between those of \`kopia\` minutes; listings are up to a minute late. After each kill, and after the next run, which has to finish: \`dray repository verify --level data\` is content, and at every tenth
so are \`kopia snapshot verify --verify-files-percent=100\` and a full maintenance by kopia. Failures of the last run: ${failed.length}.
${failed.length === 0 ? '' : `\n## Failures\n${failed.join('\n')}\n`}`;
}

function simulationTable(simulations: readonly SimulationResult[]): string {
  const ended = new Map<string, number>();
  for (const { ended: byCode } of simulations) {
    for (const [code, count] of Object.entries(byCode)) ended.set(code, (ended.get(code) ?? 0) + count);
  }
  const endings = [...ended].toSorted(([, a], [, b]) => b - a).map(([code, count]) => `${count} ${code}`);
  const done = (what: keyof SimulationResult['kopia']): number => sum(simulations.map(({ kopia }) => kopia[what]));
  return `${simulationHead}
|---|---|
| Steps, after each of which everything visible was read | ${sum(simulations.map((one) => one.steps))} |
| Days that passed | ${sum(simulations.map((one) => one.days))} |
| Our maintenances that finished | ${sum(simulations.map((one) => one.maintenances))} |
| Commands of \`kopia\` that finished: snapshots, deletions, maintenances | ${done('snapshots')}, ${done('deletions')}, ${done('maintenances')} |
| Maintenances, and commands of \`kopia\`, that others or a stop ended | ${sum([...ended.values()])} (${endings.join(', ') || 'none'}) |
| Packs and markers removed | ${sum(simulations.map((one) => one.removedBlobs))} |
| Seeds in which contents were dropped, epochs advanced | ${simulations.filter((one) => one.droppedContents).length}, ${simulations.filter((one) => one.epoch > 0).length} of ${simulations.length} |`;
}

function killsTable(killed: readonly MaintenanceKill[]): string {
  const hit = killed.filter((kill) => kill.killed);
  const of = (what: MaintenanceKill['next']): number => hit.filter(({ next }) => next === what).length;
  return `${killsHead}
|---|---|
| Runs that held, on ${cpus().length} cores | ${killed.length} |
| Killed before their work was done | ${hit.length} (${of('rewrite')} gathering packs, ${of('remove')} removing them) |`;
}

function kept(head: string, before: string): string {
  const at = before.indexOf(head);
  return at < 0 ? `${head}\n|---|---|\n| not run | |` : before.slice(at).split('\n\n')[0]!.trim();
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
