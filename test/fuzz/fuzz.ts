/** Gives a decoder inputs, and counts what comes back: a value, a typed error, or a failure of the decoder. */
import { crc32 } from 'node:zlib';
import { systemClock } from '../../src/std/clock.ts';
import { DrayError } from '../../src/std/dray-error.ts';
import type { FuzzTarget } from './fuzz-target.ts';
import { fuzzInput } from './mutate.ts';

export interface FuzzBounds {
  /** Of one input. */
  readonly ms: number;
  /** What one input may take more of, heap and buffers together, before anything is collected. */
  readonly bytes: number;
}

export interface FuzzCounts {
  readonly name: string;
  readonly inputs: number;
  readonly accepted: number;
  /** By `Class code`. */
  readonly refused: Readonly<Record<string, number>>;
  readonly slowestMs: number;
  readonly largestBytes: number;
  /** What to tell, with what is needed to have it again. */
  readonly failures: readonly string[];
}

export interface FuzzRun {
  readonly seed: number;
  readonly count: number;
  readonly bounds?: FuzzBounds | undefined;
  /** Told of each input before it is decoded. */
  readonly onInput?: ((nth: number) => void) | undefined;
}

const failuresMax = 5;

export async function fuzz(target: FuzzTarget, { seed, count, bounds, onInput }: FuzzRun): Promise<FuzzCounts> {
  const own = (seed ^ crc32(target.name)) >>> 0;
  const refused: Record<string, number> = {};
  const failures: string[] = [];
  let accepted = 0;
  let slowestMs = 0;
  let largestBytes = 0;
  for (let nth = 0; nth < count && failures.length < failuresMax; nth += 1) {
    const input = fuzzInput(target, { seed: own, nth });
    onInput?.(nth);
    const fail = (what: string): void => {
      failures.push(
        `${target.name}, seed ${seed}, input ${nth}: ${what}: ${input.subarray(0, 300).toString('base64')}`,
      );
    };
    const bytesBefore = bounds === undefined ? 0 : usedBytes();
    const startedMs = systemClock.monotonicMs();
    try {
      await target.decode(input);
      accepted += 1;
    } catch (error) {
      if (!(error instanceof DrayError)) fail(error instanceof Error ? (error.stack ?? error.message) : String(error));
      else if (nth < target.valid.length) fail(`a valid input is refused: ${error.message}`);
      else {
        const kind = `${error.name} ${String(error.code)}`;
        refused[kind] = (refused[kind] ?? 0) + 1;
      }
    }
    if (bounds === undefined) continue;
    const ms = systemClock.monotonicMs() - startedMs;
    const bytes = usedBytes() - bytesBefore;
    if (ms > bounds.ms) fail(`it took ${Math.round(ms)} ms`);
    if (bytes > bounds.bytes) fail(`it took ${bytes} bytes`);
    slowestMs = Math.max(slowestMs, ms);
    largestBytes = Math.max(largestBytes, bytes);
  }
  const inputs = accepted + Object.values(refused).reduce((sum, each) => sum + each, 0) + failures.length;
  return { name: target.name, inputs, accepted, refused, slowestMs, largestBytes, failures };
}

function usedBytes(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
