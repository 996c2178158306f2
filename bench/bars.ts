/** The bars that the product is held to, and where the measurements stand against each. */
import { type Limit, rateOf } from './limit.ts';
import type { PartResult } from './parts.ts';
import type { Medians, Samples } from './samples.ts';

export interface Bar {
  readonly step: string;
  readonly bar: string;
  readonly measured: string;
  /** `undefined`: not measured in this run. */
  readonly reached: boolean | undefined;
}

export interface BarsInput {
  readonly samples: Samples;
  readonly parts: readonly PartResult[];
  readonly limits: readonly Limit[];
  /** `dray --version`, seconds. */
  readonly startUpSeconds: number;
  /** The peak of a Node that does nothing. */
  readonly idleNodeBytes: number;
  readonly sizeBytes: number;
}

const mib = 1024 * 1024;

export function barsOf(input: BarsInput): Bar[] {
  return [...fullBars(input), ...incrementBars(input), ...restoreBars(input), ...memoryBars(input)];
}

function fullBars(input: BarsInput): Bar[] {
  const { samples, limits } = input;
  const [dray, kopia, restic] = ['dray', 'kopia', 'restic'].map((name) => samples.median(`full backup, ${name}`));
  const step = 'Full backup';
  return [
    atLeast(step, '≥ 1.8× kopia (goal 2×)', 1.8, times(kopia, dray)),
    atMost(step, '≤ 0.6× the CPU of kopia', 0.6, quotient(dray?.cpuSecondsPerGigabyte, kopia?.cpuSecondsPerGigabyte)),
    atMost(step, '≤ 1.05× the stored bytes of kopia', 1.05, quotient(dray?.storedBytes, kopia?.storedBytes)),
    atLeast(step, '≥ 3× restic', 3, times(restic, dray)),
    ofLimit(step, dray, limitOf(limits, 'backup'), emptyRunSeconds(input)),
  ];
}

function incrementBars(input: BarsInput): Bar[] {
  const { samples, parts, startUpSeconds } = input;
  const full = samples.median('full backup, dray');
  const empty = emptyRunSeconds(input);
  const rescan = samples.median('unchanged rescan, dray');
  const changed = samples.median('1 % changed in 64 KiB pieces, dray');
  const touchedRate =
    changed?.readBytes === undefined ? undefined : changed.readBytes / 1e9 / (changed.wallSeconds - empty);
  const alone = rateOf(parts, 'read-hash');
  const share = quotient(rescan?.gigabytesPerSecond, alone);
  const marginal = rescan === undefined ? undefined : rescan.volumeBytes / 1e9 / (rescan.wallSeconds - empty) / alone;
  return [
    {
      step: 'Unchanged rescan',
      bar: '≥ 85 % of read+hash alone',
      measured: `${percent(share)} of ${alone.toFixed(2)} GB/s; ${percent(marginal)} without an empty run`,
      reached: share === undefined ? undefined : share >= 0.85,
    },
    {
      step: '1 % changed, with a list',
      bar: "at the full backup's rate or better",
      measured:
        `${rate(touchedRate)} of the chunks touched (${size(changed?.readBytes)}) without an empty run; ` +
        `the full backup ${rate(full?.gigabytesPerSecond)}; ${seconds(changed)} with it`,
      reached: touchedRate === undefined || full === undefined ? undefined : touchedRate >= full.gigabytesPerSecond,
    },
    ...['', ' of 16 TiB sparse'].map((volume): Bar => {
      const none = samples.median(`no change${volume}, dray`);
      const work = none === undefined ? undefined : none.wallSeconds - startUpSeconds;
      return {
        step: `No change${volume}`,
        bar: '< 0.5 s',
        measured: `${work === undefined ? '–' : `${work.toFixed(3)} s`}; ${seconds(none)} with the start-up`,
        reached: work === undefined ? undefined : work < 0.5,
      };
    }),
  ];
}

function restoreBars(input: BarsInput): Bar[] {
  const { samples, limits } = input;
  const empty = emptyRunSeconds(input);
  const named = (name: string): Medians | undefined => samples.median(`restore to a ${name}`);
  const [file, device] = [named('file, dray'), named('device, dray')];
  return [
    atLeast('Restore to a file', '≥ 2× kopia, its cache warm', 2, times(named('file, kopia, warm cache'), file)),
    atLeast('Restore to a file', '≥ 4× kopia, its cache cold', 4, times(named('file, kopia, cold cache'), file)),
    atLeast('Restore to a file', '≥ 3× restic', 3, times(named('file, restic'), file)),
    ofLimit('Restore to a file', file, limitOf(limits, 'restore to a file'), empty),
    atLeast('Restore to a device', '≥ 2× kopia, its cache warm', 2, times(named('device, kopia, warm cache'), device)),
    atLeast('Restore to a device', '≥ 4× kopia, its cache cold', 4, times(named('device, kopia, cold cache'), device)),
    atLeast('Restore to a device', '≥ 3× restic', 3, times(named('device, restic'), device)),
    ofLimit('Restore to a device', device, limitOf(limits, 'restore to a device'), empty),
  ];
}

function memoryBars({ samples, idleNodeBytes, sizeBytes }: BarsInput): Bar[] {
  const own = samples.names.filter((name) => name.includes('dray'));
  const sizes: [string, number][] = [
    [`${sizeBytes / 2 ** 30} GiB`, sizeBytes],
    ['64 GiB sparse', 64 * 2 ** 30],
    ['16 TiB sparse', 16 * 2 ** 40],
  ];
  return sizes.map(([name, volumeBytes]): Bar => {
    const cases = own.map((each) => [each, samples.median(each)!] as const);
    const worst = cases
      .filter(([, medians]) => medians.volumeBytes === volumeBytes)
      .toSorted(([, a], [, b]) => b.peakBytes - a.peakBytes)[0];
    const above = worst === undefined ? undefined : (worst[1].peakBytes - idleNodeBytes) / mib;
    return {
      step: `Peak memory, ${name}`,
      bar: '≤ 256 MiB above an idle Node',
      measured: above === undefined ? '–' : `${above.toFixed(0)} MiB (${worst![0]})`,
      reached: above === undefined ? undefined : above <= 256,
    };
  });
}

export function atLeast(step: string, bar: string, wanted: number, measured: number | undefined): Bar {
  return { step, bar, measured: factor(measured), reached: measured === undefined ? undefined : measured >= wanted };
}

export function atMost(step: string, bar: string, wanted: number, measured: number | undefined): Bar {
  return { step, bar, measured: factor(measured), reached: measured === undefined ? undefined : measured <= wanted };
}

/** Judged with all that a run needs to begin and to end; what that costs is shown beside it. */
function ofLimit(step: string, run: Medians | undefined, limit: Limit | undefined, emptySeconds: number): Bar {
  const gigabytesPerSecond = limit?.gigabytesPerSecond;
  const share = quotient(run?.gigabytesPerSecond, gigabytesPerSecond);
  const marginal = quotient(
    run === undefined ? undefined : run.volumeBytes / 1e9 / (run.wallSeconds - emptySeconds),
    gigabytesPerSecond,
  );
  return {
    step,
    bar: '≥ 85 % of the limit',
    measured:
      share === undefined
        ? '–'
        : `${percent(share)} of ${rate(gigabytesPerSecond)}; ${percent(marginal)} without an empty run`,
    reached: share === undefined ? undefined : share >= 0.85,
  };
}

/** A backup of a volume of 0 bytes. */
function emptyRunSeconds({ samples }: BarsInput): number {
  return samples.median('empty run: backup of a volume of 0 bytes, dray')?.wallSeconds ?? 0;
}

function limitOf(limits: readonly Limit[], step: Limit['step']): Limit | undefined {
  return limits.find((limit) => limit.step === step);
}

/** How many times faster `ours` is than `theirs`. */
function times(theirs: Medians | undefined, ours: Medians | undefined): number | undefined {
  return quotient(theirs?.wallSeconds, ours?.wallSeconds);
}

function quotient(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : a / b;
}

function factor(value: number | undefined): string {
  return value === undefined ? '–' : `${value.toFixed(2)}×`;
}

function percent(share: number | undefined): string {
  return share === undefined ? '–' : `${(share * 100).toFixed(0)} %`;
}

function rate(gigabytesPerSecond: number | undefined): string {
  return gigabytesPerSecond === undefined ? '–' : `${gigabytesPerSecond.toFixed(2)} GB/s`;
}

function seconds(medians: Medians | undefined): string {
  return medians === undefined ? '–' : `${medians.wallSeconds.toFixed(3)} s`;
}

function size(bytes: number | undefined): string {
  return bytes === undefined ? '–' : `${(bytes / mib).toFixed(0)} MiB`;
}
