/**
 * The process that is killed. For each line on its input it does one operation and writes into its journal: before, what
 * it will change; after it resolved, that it did. A number on the line is the call to the file system before which it
 * kills itself (`kill-at-call.ts`), a word the operation that is wanted. The journal is a file on another file system, so that it can be read at
 * any instant; the same line on the output wakes the reader. Arguments: pool, name, mount point, device, journal.
 */
import { createHash } from 'node:crypto';
import { openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Pool } from '../../../src/pool/pool.ts';
import { PoolError } from '../../../src/pool/pool-error.ts';
import { systemClock } from '../../../src/std/clock.ts';
import { seededRng, systemRng } from '../../../src/std/rng.ts';
import { killAtCall } from './kill-at-call.ts';
import type { Effect, JournalLine, Thing } from './model.ts';
import {
  markerName,
  mountedName,
  nextOperation,
  operationNamed,
  thingOf,
  type NamedOperation,
  type Operation,
} from './operations.ts';

const [root = '', name = '', mountPoint = '', device = '', journalPath = ''] = process.argv.slice(2);
const pool = Pool.open(root, { clock: systemClock, rng: systemRng });
const place = { pool, rng: seededRng(seedOf(name)), mountPoint, device, signal: new AbortController().signal };
const journal = openSync(journalPath, 'a');

write({ kind: 'refused', message: 'ready' });
for await (const line of createInterface({ input: process.stdin })) {
  const [count = '', asked = ''] = line.split(' ');
  const operation = asked === '' ? await nextOperation(place) : await operationNamed(place, asked as NamedOperation);
  write({ kind: 'begin', what: operation.what, effect: operation.effect });
  try {
    killAtCall(Number(count));
    await operation.run();
    killAtCall(0);
  } catch (error) {
    if (!(error instanceof PoolError) || !['pool-reserve', 'pool-no-space'].includes(error.code)) throw error;
    write({ kind: 'refused', message: error.message });
    continue;
  }
  write({ kind: 'done', effect: await completed(operation) });
}

/** Every name has a sequence of its own. */
function seedOf(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32LE();
}

function write(line: JournalLine): void {
  const text = `${JSON.stringify(line)}\n`;
  writeSync(journal, text);
  writeSync(1, text);
}

/** With the digests that are known only now; those that were known have to be right. */
async function completed({ what, effect }: Operation): Promise<Effect> {
  const put: Record<string, Thing> = {};
  for (const [name, thing] of Object.entries(effect.put)) {
    const now = await thingNow(name);
    if (thing.digest !== null && now.digest !== thing.digest) throw new Error(`${what}: ${name} is not right`);
    put[name] = { ...thing, ...now };
  }
  return { put, gone: effect.gone };
}

async function thingNow(name: string): Promise<Partial<Thing>> {
  if (name === mountedName) return { marker: readFileSync(join(mountPoint, markerName), 'latin1') };
  const [volume = '', snapshot] = name.split('@');
  const image = snapshot === undefined ? pool.volume(volume).image : pool.snapshot(volume, snapshot).image;
  const { digest, sizeBytes } = await thingOf(image);
  return { digest, sizeBytes };
}
