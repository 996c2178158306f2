/** `node simulate-seed.ts RUN`: one seed of the simulation, told as JSON; what came of it goes to stdout. */
import { messageChain } from '../../src/std/causes.ts';
import { toError } from '../../src/std/to-error.ts';
import { simulate, type SimulationResult, type SimulationRun } from './simulation.ts';

export type SeedOutcome = { readonly result: SimulationResult } | { readonly failed: string };

const [run = '{}'] = process.argv.slice(2);
process.stdout.write(JSON.stringify(await outcomeOf(JSON.parse(run) as SimulationRun)));

async function outcomeOf(wanted: SimulationRun): Promise<SeedOutcome> {
  try {
    return { result: await simulate(wanted) };
  } catch (error) {
    return { failed: messageChain(toError(error)) };
  }
}
