/**
 * Another process that works on a pool. Arguments: the pool, what to do, with what. It says `ready`, and begins with the
 * first line on its input, so that several begin together; then it tells what came of it, one word a line.
 */
import { writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSnapshots } from '../../src/pool/create-snapshots.ts';
import { deleteSnapshot } from '../../src/pool/delete-snapshot.ts';
import { holdSnapshot } from '../../src/pool/hold-image.ts';
import { cloneStill, stillnessOf } from '../../src/pool/hold-still.ts';
import { openClone } from './hanging-clone.ts';
import { parseSnapshotName } from '../../src/pool/pool-names.ts';
import { Pool } from '../../src/pool/pool.ts';
import { systemClock } from '../../src/std/clock.ts';
import { DrayError } from '../../src/std/dray-error.ts';
import { systemRng } from '../../src/std/rng.ts';

const [root = '', action = '', ...names] = process.argv.slice(2);
const pool = Pool.open(root, { clock: systemClock, rng: systemRng });
const { signal } = new AbortController();
const request = { madeBy: 'user', needs: [], freezeBoundMs: 20_000, onDropped: () => undefined, signal } as const;

/** What rivals have to expect of each other. */
const expected = new Set(['pool-snapshot-exists', 'pool-in-use', 'pool-needed', 'pool-freeze']);

say('ready');
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
await lines.next();
try {
  await act();
  say('done');
} catch (error) {
  if (!(error instanceof DrayError)) throw error;
  const code = String(error.code);
  say(code);
  if (!expected.has(code)) process.stderr.write(`${error.stack}\n`);
}
process.exit();

async function act(): Promise<void> {
  switch (action) {
    case 'snapshot':
      await createSnapshots(pool, { ...request, snapshots: names.map(parseSnapshotName) });
      return;
    case 'delete':
      await deleteSnapshot(pool, parseSnapshotName(names[0] ?? ''), { force: names[1] === 'forced', signal });
      return;
    case 'hold': {
      const { volume, snapshot } = parseSnapshotName(names[0] ?? '');
      using _held = await holdSnapshot(pool, pool.snapshot(volume, snapshot), { signal });
      say('holds');
      await lines.next();
      return;
    }
    case 'change':
      // Holds the pool's lock until it is killed.
      return await pool.change(async () => await hang('changing'), { signal });
    case 'freeze': {
      const [volume = '', boundMs = '', folder = ''] = names;
      const stillness = await stillnessOf(pool.volume(volume), { signal });
      await using files = await openClone(folder);
      say('begins');
      await cloneStill(pool, [{ stillness, ...files }], { boundMs: Number(boundMs), signal });
      return;
    }
    case 'churn':
      // Makes and removes until it is killed.
      for (let count = 0; ; count += 1) {
        const name = { volume: names[0] ?? '', snapshot: `churn${count % 3}` };
        await createSnapshots(pool, { ...request, snapshots: [name] });
        await deleteSnapshot(pool, name, { force: false, signal });
        if (count === 2) say('churning');
      }
    default:
      throw new Error(`no such action: ${action}`);
  }
}

async function hang(word: string): Promise<void> {
  say(word);
  await sleep(600_000);
}

function say(word: string): void {
  writeSync(1, `${word}\n`);
}
