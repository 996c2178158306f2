/** One point of interruption: some operations, the last of which is cut off, and what must be true then. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { seededRng, type Rng } from '../../../src/std/rng.ts';
import { examineCopy, examineKilled } from './examine.ts';
import { follow, mayHold, type JournalLine, type Reading } from './model.ts';
import type { NamedOperation } from './operations.ts';
import type { PoolWorld } from './world.ts';

export interface Point {
  /** The operation that was cut off; undefined when the last had resolved. */
  readonly cut: string | undefined;
  readonly last: string;
  readonly operations: number;
}

/** About as many calls as a group of snapshots makes. */
const callsMax = 24;

/** Kill -9 at a random moment of an operation, or every other time exactly between two of its calls to the file system. */
export async function killPoint(world: PoolWorld, seed: number): Promise<Point> {
  const rng = seededRng(seed);
  const worker = await startWorker(world, `kill-${seed}`);
  let last: string;
  try {
    for (let count = Math.floor(rng.uniform() * 3); count > 0; count -= 1) await worker.operation(world);
    const call = seed % 2 === 0 ? 0 : 1 + Math.floor(rng.uniform() * callsMax);
    last = await worker.begin(call);
    if (call > 0) await worker.settled().catch(() => undefined);
    else await pause(momentOf(world, last, rng));
  } finally {
    await worker.kill();
  }
  const reading = worker.reading(world);
  world.state = await told(last, examineKilled(world, mayHold(reading, reading)));
  return { cut: reading.begun?.what, last, operations: reading.operations };
}

/** Kill -9 before this call of the operation that is named, the first being 1. */
export async function callPoint(
  world: PoolWorld,
  { name, call }: { readonly name: NamedOperation; readonly call: number },
): Promise<Point> {
  const worker = await startWorker(world, `${name}-${call}`);
  let last: string;
  try {
    last = await worker.begin(call, name);
    await worker.settled().catch(() => undefined);
  } finally {
    await worker.kill();
  }
  const reading = worker.reading(world);
  world.state = await told(`${last}, call ${call}`, examineKilled(world, mayHold(reading, reading)));
  return { cut: reading.begun?.what, last, operations: reading.operations };
}

/** Loss of power the moment that the named operation has resolved. */
export async function afterPoint(world: PoolWorld, name: NamedOperation): Promise<void> {
  const worker = await startWorker(world, `after-${name}-${world.state.size}`);
  try {
    const last = await worker.begin(0, name);
    await worker.settled();
    const copy = await world.copyDisk();
    const reading = worker.reading(world);
    world.state = reading.acknowledged;
    await told(last, examineCopy(world, copy, mayHold(reading, reading)));
  } finally {
    await worker.kill();
  }
}

/** Loss of power: every other time the moment an operation has resolved, else at a random moment of one. */
export async function powerPoint(world: PoolWorld, seed: number): Promise<Point> {
  const rng = seededRng(seed);
  const worker = await startWorker(world, `power-${seed}`);
  try {
    for (let count = Math.floor(rng.uniform() * 3); count > 0; count -= 1) await worker.operation(world);
    const isResolved = seed % 2 === 0;
    const last = isResolved ? await worker.operation(world) : await worker.begin();
    if (!isResolved) await pause(momentOf(world, last, rng));
    const before = worker.reading(world);
    const copy = await world.copyDisk();
    const after = worker.reading(world);
    if (!isResolved) await worker.settled();
    const expected = mayHold(before, after);
    world.state = worker.reading(world).acknowledged;
    await told(last, examineCopy(world, copy, expected));
    return { cut: before.begun?.what, last, operations: before.operations };
  } finally {
    await worker.kill();
  }
}

/** A failure names the operation. */
async function told<T>(last: string, examined: Promise<T>): Promise<T> {
  try {
    return await examined;
  } catch (cause) {
    throw new Error(`after "${last}": ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

interface Worker {
  /** Resolves with its name when it is under way. */
  readonly begin: (killAtCall?: number, name?: NamedOperation) => Promise<string>;
  readonly settled: () => Promise<void>;
  /** From begin to end. */
  readonly operation: (world: PoolWorld) => Promise<string>;
  /** What the journal says at this instant. */
  readonly reading: (world: PoolWorld) => Reading;
  readonly kill: () => Promise<void>;
}

async function startWorker({ root, mountPoint, device, folder }: PoolWorld, name: string): Promise<Worker> {
  const journal = join(folder, `journal-${name}`);
  const args = [join(import.meta.dirname, 'worker.ts'), root, name, mountPoint, device, journal];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let complaint = '';
  child.stderr.on('data', (text: Buffer) => void (complaint += text.toString()));
  child.stdin.on('error', () => undefined);
  const closed = once(child, 'close');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<JournalLine> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`the worker has ended: ${complaint}`);
    return JSON.parse(value) as JournalLine;
  };
  const begin = async (killAtCall = 0, wanted?: NamedOperation): Promise<string> => {
    child.stdin.write(`${killAtCall} ${wanted ?? ''}\n`);
    const line = await next();
    return line.kind === 'begin' ? line.what : '';
  };
  const settled = async (): Promise<void> => void (await next());
  const operation = async ({ durationsMs }: PoolWorld): Promise<string> => {
    const what = await begin();
    const started = performance.now();
    await settled();
    durationsMs.set(kindOf(what), performance.now() - started);
    return what;
  };
  const reading = ({ state }: PoolWorld): Reading => follow(state, readJournal(journal));
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await closed;
  };
  await next();
  return { begin, settled, operation, reading, kill };
}

function readJournal(path: string): JournalLine[] {
  const whole = readFileSync(path, 'utf8').split('\n').slice(0, -1);
  return whole.map((line) => JSON.parse(line) as JournalLine);
}

function kindOf(what: string): string {
  const [kind = '', ...names] = what.split(' ');
  return `${kind} ${names.some((name) => name.startsWith('mounted@')) ? 'frozen' : ''}${names.length > 1 ? '+' : ''}`;
}

/** Somewhere in the length that such an operation takes. */
function momentOf({ durationsMs }: PoolWorld, what: string, rng: Rng): number {
  return rng.uniform() * 1.1 * (durationsMs.get(kindOf(what)) ?? 60);
}

/** As exact as can be: timers know whole milliseconds only. */
async function pause(ms: number): Promise<void> {
  const until = performance.now() + ms;
  if (ms > 2) await sleep(ms - 2);
  while (performance.now() < until);
}
