/** `node simulate-seed.ts RUN`: one seed of the simulation, told as JSON; its result goes to stdout. Ends with 1 when it failed. */
import { simulate, type SimulationRun } from './simulation.ts';

const [run = '{}'] = process.argv.slice(2);
process.stdout.write(JSON.stringify(await simulate(JSON.parse(run) as SimulationRun)));
