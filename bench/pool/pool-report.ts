/** The results as a page: the bars of all parts first, then how each was measured. */
import type { Bar } from '../bars.ts';
import type { MachineFact } from '../machine.ts';
import { barsTable } from '../report.ts';
import { markdownTable } from '../table.ts';
import type { PoolFindings, PoolPart } from './pool-part.ts';

export interface PoolResults {
  readonly date: string;
  readonly rounds: number;
  readonly machine: readonly MachineFact[];
  readonly tools: readonly (readonly [name: string, version: string])[];
  readonly found: readonly { readonly part: PoolPart; readonly findings: PoolFindings }[];
  /** On what is missed. */
  readonly notes: string | undefined;
  /** What could not be measured here, with the reason. */
  readonly skipped: readonly string[];
}

const preface = `The pool is an XFS in an image on the disk of this machine. Times are of the process, from its start to its end, unless something else is said;
everything written before is on disk (\`sync\`) when a run begins. GB are 10^9 bytes, MiB and GiB powers of 1024. Memory is the peak of the resident set.`;

export function poolReportOf({ date, rounds, machine, tools, found, notes, skipped }: PoolResults): string {
  const facts: readonly MachineFact[] = [['Date', date], ...machine, ...tools];
  return [
    '# Results of `npm run bench:pool`',
    '',
    `${preface} ${rounds} rounds.`,
    '',
    '## Bars',
    '',
    barsTable(poolBars(found)),
    '## Machine',
    '',
    markdownTable(facts, [
      { header: 'What', value: ([label]) => label },
      { header: 'Value', value: ([, text]) => text },
    ]),
    ...found.flatMap(({ part, findings }) => [`## ${part.title}`, '', findings.how, '', findings.tables]),
    ...(notes === undefined ? [] : [notes.trim(), '']),
    ...(skipped.length === 0 ? [] : ['## Not measured here', '', ...skipped.map((each) => `- ${each}`), '']),
  ].join('\n');
}

export function poolBars(found: PoolResults['found']): Bar[] {
  return found.flatMap(({ findings }) => findings.bars);
}
