/** A thread of `npm run fuzz`: takes one decoder after the other from the list that all threads share. */
import { parentPort, workerData } from 'node:worker_threads';
import { fuzz } from './fuzz.ts';
import { fuzzTargets } from './targets.ts';

export interface FuzzWorkerData {
  readonly seed: number;
  readonly countPerTarget: number;
  /** One number: the decoders that have been taken. */
  readonly taken: SharedArrayBuffer;
  /** Three numbers for this thread: its decoder, its input, and how often it has begun one. */
  readonly progress: SharedArrayBuffer;
}

/** Far above what any input needs; what is slower than this by itself can be made slow on purpose. */
const bounds = { ms: 2000, bytes: 64 * 1024 * 1024 };

const { seed, countPerTarget, taken, progress } = workerData as FuzzWorkerData;
const next = new Int32Array(taken);
const present = new Int32Array(progress);
const targets = await fuzzTargets();
for (let index = Atomics.add(next, 0, 1); index < targets.length; index = Atomics.add(next, 0, 1)) {
  const target = targets[index]!;
  Atomics.store(present, 0, index);
  const onInput = (nth: number): void => {
    Atomics.store(present, 1, nth);
    Atomics.add(present, 2, 1);
  };
  parentPort?.postMessage(await fuzz(target, { seed, count: countPerTarget, bounds, onInput }));
}
