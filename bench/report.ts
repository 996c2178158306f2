/** The results as a page: the bars first, then what they rest on. */
import { type Bar, type BarsInput, barsOf } from './bars.ts';
import type { Limit } from './limit.ts';
import type { MachineFact } from './machine.ts';
import type { PartResult } from './parts.ts';
import type { Medians, Samples } from './samples.ts';
import { markdownTable } from './table.ts';

export interface Results extends BarsInput {
  readonly date: string;
  readonly rounds: number;
  readonly machine: readonly MachineFact[];
  readonly tools: readonly { readonly name: string; readonly version: string; readonly how: string }[];
  /** What could not be measured here, with the reason. */
  readonly skipped: readonly string[];
  /** What was found out about the bars that are missed: written by hand, carried over. */
  readonly notes: string | undefined;
}

const preface = `GB are 10^9 bytes, MiB and GiB powers of 1024. The tools take turns in every round, on the same disk; the order turns with the
rounds. The image is in the page cache, and so are the repositories before a restore; everything written before is on disk (\`sync\`) when a run
begins. Times are of the process, from its start to its end; \`dray\` flushes what it stores and restores before it ends, the others leave that
to the kernel. CPU is user and system time of the process, memory the peak of its resident set. "Start-up" is \`dray --version\`;
an "empty run" backs up a volume of 0 bytes, and does all that does not depend on the volume: it derives the key, opens the repository, stores a snapshot.
All restored images of the first round are compared with the original, byte for byte.`;

export function reportOf(results: Results): string {
  const { samples, parts, limits, skipped } = results;
  return [
    '# Results of `npm run bench`',
    '',
    preface,
    '',
    '## Bars',
    '',
    barsTable(barsOf(results)),
    'What is redone after a kill is measured where the kills are: `npm run test:crash` writes `test/crash/results.md`.',
    '',
    ...(results.notes === undefined ? [] : [results.notes.trim(), '']),
    '## Machine',
    '',
    markdownTable(factsOf(results), [
      { header: 'What', value: ([label]) => label },
      { header: 'Value', value: ([, text]) => text },
    ]),
    '## Runs',
    '',
    ...results.tools.map(({ name, how }) => `- ${name}: \`${how}\``),
    '',
    `Medians of ${results.rounds} rounds; sparse volumes and small things have rounds of their own number.`,
    '',
    runsTable(samples),
    '## Parts alone, and the limits made of them',
    '',
    'CPU seconds per GB are those of the part on one core. `open` and `store` are per GB of the image, `write-packs` and `read-packs` per GB stored.',
    '',
    partsTable(parts),
    limitsTable(limits),
    ...(skipped.length === 0 ? [] : ['## Not measured here', '', ...skipped.map((each) => `- ${each}`), '']),
  ].join('\n');
}

function factsOf({ date, machine, tools, startUpSeconds, idleNodeBytes }: Results): MachineFact[] {
  return [
    ['Date', date],
    ...machine,
    ...tools.map(({ name, version }): MachineFact => [name, version]),
    ['Start-up of dray', `${(startUpSeconds * 1000).toFixed(0)} ms`],
    ['Idle Node', `${(idleNodeBytes / 2 ** 20).toFixed(0)} MiB`],
  ];
}

export function barsTable(bars: readonly Bar[]): string {
  return markdownTable(bars, [
    { header: 'Step', value: ({ step }) => step },
    { header: 'Bar', value: ({ bar }) => bar },
    { header: 'Measured', value: ({ measured }) => measured },
    {
      header: '',
      value: ({ reached }) => (reached === undefined ? 'not measured' : reached ? 'reached' : '**missed**'),
    },
  ]);
}

export function runsTable(samples: Samples): string {
  const rows = samples.names.map((name): readonly [string, Medians] => [name, samples.median(name)!]);
  return markdownTable(rows, [
    { header: 'Run', value: ([name]) => name },
    { header: 'Wall s', value: ([, { wallSeconds }]) => wallSeconds.toFixed(3), align: 'right' },
    {
      header: 'Fastest to slowest',
      value: ([, { fastestSeconds, slowestSeconds }]) => `${fastestSeconds.toFixed(2)}–${slowestSeconds.toFixed(2)}`,
      align: 'right',
    },
    { header: 'GB/s', value: ([, { gigabytesPerSecond }]) => figure(gigabytesPerSecond), align: 'right' },
    { header: 'CPU s/GB', value: ([, { cpuSecondsPerGigabyte }]) => figure(cpuSecondsPerGigabyte), align: 'right' },
    { header: 'Peak MiB', value: ([, { peakBytes }]) => (peakBytes / 2 ** 20).toFixed(0), align: 'right' },
    { header: 'Stored MB', value: ([, { storedBytes }]) => megabytes(storedBytes), align: 'right' },
    { header: 'Rounds', value: ([, { rounds }]) => String(rounds), align: 'right' },
  ]);
}

function partsTable(parts: readonly PartResult[]): string {
  return markdownTable(parts, [
    { header: 'Part', value: ({ part }) => part },
    { header: 'GB/s, one core', value: ({ oneCore }) => oneCore.gigabytesPerSecond.toFixed(2), align: 'right' },
    { header: 'GB/s, all cores', value: ({ allCores }) => allCores.gigabytesPerSecond.toFixed(2), align: 'right' },
    { header: 'CPU s/GB, one core', value: ({ oneCore }) => oneCore.cpuSecondsPerGigabyte.toFixed(3), align: 'right' },
    {
      header: 'CPU s/GB, all cores',
      value: ({ allCores }) => allCores.cpuSecondsPerGigabyte.toFixed(3),
      align: 'right',
    },
  ]);
}

function limitsTable(limits: readonly Limit[]): string {
  return markdownTable(limits, [
    { header: 'Limit of', value: ({ step }) => step },
    { header: 'GB/s', value: ({ gigabytesPerSecond }) => gigabytesPerSecond.toFixed(2), align: 'right' },
    {
      header: 'The lowest of',
      value: ({ terms }) => terms.map(([name, rate]) => `${name} ${rate.toFixed(2)}`).join(', '),
    },
  ]);
}

/** Three digits that matter; sparse volumes go by at thousands of GB/s. */
function figure(value: number): string {
  if (!Number.isFinite(value) || value === 0) return '';
  return value >= 100 ? value.toFixed(0) : value >= 0.01 ? value.toFixed(2) : value.toExponential(1);
}

function megabytes(bytes: number | undefined): string {
  return bytes === undefined ? '' : (bytes / 1e6).toFixed(0);
}
