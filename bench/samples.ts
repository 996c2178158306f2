/** What was measured, by name of the case, and the medians of it. */
import type { Measurement } from './measure.ts';

export interface Sample {
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  readonly peakBytes: number;
  /** Bytes of the volume that the run was about. */
  readonly volumeBytes: number;
  /** Bytes that the repository holds afterwards, where that was measured. */
  readonly storedBytes?: number | undefined;
  /** Bytes of the volume that were read, as the program says, where it does. */
  readonly readBytes?: number | undefined;
}

export class Samples {
  readonly #byCase = new Map<string, Sample[]>();

  add(name: string, measured: Measurement, about: Omit<Sample, 'wallSeconds' | 'cpuSeconds' | 'peakBytes'>): void {
    const { wallSeconds, cpuSeconds, peakBytes } = measured;
    const sample = { wallSeconds, cpuSeconds, peakBytes, ...about };
    this.#byCase.set(name, [...this.of(name), sample]);
    console.log(`${name.padEnd(40)} ${wallSeconds.toFixed(3)} s  ${cpuSeconds.toFixed(2)} cpu-s`);
  }

  of(name: string): readonly Sample[] {
    return this.#byCase.get(name) ?? [];
  }

  get names(): readonly string[] {
    return [...this.#byCase.keys()];
  }

  /** Each figure's own median; `undefined` when the case was not run. */
  median(name: string): Medians | undefined {
    const samples = this.of(name);
    const first = samples[0];
    if (first === undefined) return undefined;
    const of = (figure: (sample: Sample) => number): number => median(samples.map(figure));
    const wallSeconds = of((sample) => sample.wallSeconds);
    const gigabytes = first.volumeBytes / 1e9; // 0 for what is about no volume
    return {
      rounds: samples.length,
      wallSeconds,
      fastestSeconds: Math.min(...samples.map((sample) => sample.wallSeconds)),
      slowestSeconds: Math.max(...samples.map((sample) => sample.wallSeconds)),
      volumeBytes: first.volumeBytes,
      gigabytesPerSecond: gigabytes / wallSeconds,
      cpuSecondsPerGigabyte: of((sample) => sample.cpuSeconds) / gigabytes,
      peakBytes: Math.max(...samples.map((sample) => sample.peakBytes)),
      storedBytes: first.storedBytes === undefined ? undefined : of((sample) => sample.storedBytes ?? 0),
      readBytes: first.readBytes === undefined ? undefined : of((sample) => sample.readBytes ?? 0),
    };
  }
}

export interface Medians {
  readonly rounds: number;
  readonly wallSeconds: number;
  readonly fastestSeconds: number;
  readonly slowestSeconds: number;
  readonly volumeBytes: number;
  /** Of the volume, 10^9 bytes. */
  readonly gigabytesPerSecond: number;
  readonly cpuSecondsPerGigabyte: number;
  /** The highest of all rounds. */
  readonly peakBytes: number;
  readonly storedBytes: number | undefined;
  readonly readBytes: number | undefined;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
