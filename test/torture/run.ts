/**
 * `npm run test:torture -- ROUNDS SEED [CASE]`: so many rounds of each case (of those whose name begins with CASE), from
 * this seed on. Prints a line a case and a table at the end, and writes nothing. Ends with 1 when a case failed, or reported too much. Needs
 * root, and space for sparse images in TMPDIR; a file system in memory makes it faster.
 */
import { inspect } from 'node:util';
import { cases } from './cases.ts';
import { ratio, table, type Tally } from './tally.ts';
import { torture, TortureFailure } from './torture.ts';

/** Of extents that are not compressed, over enough rounds. */
const ratioMax = 1.1;
const roundsEnough = 30;

const [, , rounds = '20', seed = '1', only = ''] = process.argv;
const rows = new Map<string, Tally>();
for (const [index, one] of cases.entries()) {
  if (!one.name.startsWith(only)) continue;
  const options = { rounds: Number(rounds), seed: Number(seed) * 1000 + index, backupEvery: 6 };
  const startedMs = performance.now();
  try {
    const tally = await torture(one, options);
    rows.set(one.name, tally);
    const isMuch = one.pool !== 'btrfs-zstd' && tally.rounds >= roundsEnough && ratio(tally) > ratioMax;
    if (isMuch) process.exitCode = 1;
    process.stdout.write(`${isMuch ? 'TOO MUCH REPORTED' : 'ok'} ${one.name}, seed ${options.seed}`);
  } catch (error) {
    process.exitCode = 1;
    if (error instanceof TortureFailure) rows.set(one.name, error.tally);
    // What failed while the pool was put away would hide what failed before.
    process.stdout.write(`FAILED ${inspect(error, { showHidden: true })}\n`);
  }
  process.stdout.write(`, ${Math.round((performance.now() - startedMs) / 1000)} s\n`);
}
process.stdout.write(`\n${table(rows)}\n`);
