/**
 * `npm run fuzz [COUNT] [SEED]`: gives so many inputs (a million unless told) to all decoders together, in two threads, and
 * writes `test/fuzz/results.md`. Ends with 1 when a decoder failed: by an error without a type, a valid input that it refused, an
 * input that took too long or too much memory, or one that it never came back from.
 */
import { writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setInterval } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { systemClock } from '../../src/std/clock.ts';
import type { FuzzCounts } from './fuzz.ts';
import type { FuzzWorkerData } from './fuzz-worker.ts';
import { fuzzTargets } from './targets.ts';

const threads = 2;
/** A thread that has begun no input for so long hangs. */
const silentSecondsMax = 30;

const count = Number(process.argv[2] ?? 1_000_000);
const seed = Number(process.argv[3] ?? 1);
const targets = await fuzzTargets();
const countPerTarget = Math.ceil(count / targets.length);
const startedMs = systemClock.monotonicMs();
const taken = new SharedArrayBuffer(4);
const results: FuzzCounts[] = [];

const running = Array.from({ length: threads }, () => {
  const progress = new SharedArrayBuffer(12);
  const workerData: FuzzWorkerData = { seed, countPerTarget, taken, progress };
  const worker = new Worker(new URL('fuzz-worker.ts', import.meta.url), { workerData });
  const ended = Promise.withResolvers<void>();
  worker.on('message', (counts: FuzzCounts) => {
    results.push(counts);
    process.stdout.write(`${counts.failures.length === 0 ? 'ok' : 'FAILED'} ${counts.name}: ${counts.inputs}\n`);
  });
  worker.on('error', ended.reject);
  worker.on('exit', () => ended.resolve());
  return { present: new Int32Array(progress), ended: ended.promise, seen: -1, silentSeconds: 0, open: true };
});
const over = new AbortController();
const watching = watch();
await Promise.all(running.map(({ ended }, index) => ended.finally(() => (running[index]!.open = false))));
over.abort();
await watching;
const ms = systemClock.monotonicMs() - startedMs;
const failures = results.flatMap((result) => result.failures);
await writeFile(join(import.meta.dirname, 'results.md'), report());
for (const failure of failures) process.stdout.write(`${failure}\n`);
process.exitCode = failures.length === 0 ? 0 : 1;

/** A decoder that never comes back cannot tell: the process ends and says which it was. */
async function watch(): Promise<void> {
  try {
    for await (const _ of setInterval(1000, undefined, { signal: over.signal })) {
      for (const thread of running) {
        const begun = Atomics.load(thread.present, 2);
        thread.silentSeconds = begun === thread.seen ? thread.silentSeconds + 1 : 0;
        thread.seen = begun;
        if (!thread.open || thread.silentSeconds < silentSecondsMax) continue;
        const [target = 0, nth] = thread.present;
        process.stdout.write(`FAILED ${targets[target]?.name}, seed ${seed}, input ${nth}: it does not end\n`);
        process.exit(1);
      }
    }
  } catch (error) {
    if (!over.signal.aborted) throw error;
  }
}

function report(): string {
  const inOrder = targets.flatMap(({ name }) => results.filter((result) => result.name === name));
  const sum = (of: (result: FuzzCounts) => number): number => inOrder.reduce((total, result) => total + of(result), 0);
  const refusals = ({ refused }: FuzzCounts): string =>
    Object.entries(refused)
      .toSorted(([, a], [, b]) => b - a)
      .map(([kind, times]) => `${kind} ${times}`)
      .join(', ');
  const rows = inOrder.map(
    (result) =>
      `| ${result.name} | ${result.inputs} | ${result.accepted} | ${refusals(result)} | ${result.slowestMs.toFixed(0)} | ${(result.largestBytes / 1024 ** 2).toFixed(1)} |`,
  );
  return `# Decoders under damaged and forged inputs

Written by \`npm run fuzz${process.argv.length > 2 ? ` -- ${process.argv.slice(2).join(' ')}` : ''}\`: ${sum(({ inputs }) => inputs)} inputs for ${inOrder.length} decoders, seed ${seed}, in ${Math.round(ms / 1000)} s with
${threads} threads on ${availableParallelism()} cores. Failures: ${failures.length}. An input is a mutation of valid ones (one in eight: random bytes); it must be read, or refused by an error
with a code, within 2 s and 64 MiB of memory. Milliseconds and MiB are the most that one input took, with what the collector and the machine did meanwhile.

| Decoder | Inputs | Read | Refused | ms | MiB |
|---|---|---|---|---|---|
${rows.join('\n')}
${failures.map((failure) => `\n- ${failure}`).join('')}`;
}
