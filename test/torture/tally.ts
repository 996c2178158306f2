/** What the rounds of a case came to. Blocks are of 4 KiB. */
export interface Tally {
  rounds: number;
  /** Blocks that differ between a snapshot and the one before. */
  changed: number;
  reported: number;
  /** Reported and equal: zeroed, given up or written again as they were; or laid elsewhere from outside. */
  aside: number;
  moved: number;
  /** Reported and equal, and nobody knows why. */
  unexplained: number;
  /** Differ and were not reported. */
  missed: number;
  /** Comparisons with older snapshots, and of a snapshot with the volume itself. */
  otherPairs: number;
  /** Refused because something changed meanwhile; the next try was not. */
  refused: number;
  backups: number;
  /** Of them, those that were told by the pool what had changed. */
  byExtents: number;
  /** File systems of restored images that were checked, and their files compared. */
  fscks: number;
}

export function emptyTally(): Tally {
  return {
    rounds: 0,
    changed: 0,
    reported: 0,
    aside: 0,
    moved: 0,
    unexplained: 0,
    missed: 0,
    otherPairs: 0,
    refused: 0,
    backups: 0,
    byExtents: 0,
    fscks: 0,
  };
}

const columns = [
  ['rounds', 'Rounds'],
  ['changed', 'Changed'],
  ['reported', 'Reported'],
  ['aside', 'Aside'],
  ['moved', 'Moved'],
  ['unexplained', 'Unexplained'],
  ['missed', 'Missed'],
  ['otherPairs', 'Other pairs'],
  ['refused', 'Refused'],
  ['backups', 'Backups'],
  ['byExtents', 'By extents'],
  ['fscks', 'Fscks'],
] as const;

/** A table in Markdown, with the sum of all in its last row. */
export function table(rows: ReadonlyMap<string, Tally>): string {
  const all = emptyTally();
  for (const tally of rows.values()) for (const [key] of columns) all[key] += tally[key];
  const line = (name: string, tally: Tally): string =>
    `| ${name} | ${columns.map(([key]) => tally[key]).join(' | ')} | ${ratio(tally).toFixed(3)} |`;
  return [
    `| Case | ${columns.map(([, title]) => title).join(' | ')} | Ratio |`,
    `|---|${columns.map(() => '---:|').join('')}---:|`,
    ...[...rows].map(([name, tally]) => line(name, tally)),
    line('all', all),
  ].join('\n');
}

/** Reported by really changed, without what was aside or moved. */
export function ratio({ changed, unexplained, missed }: Tally): number {
  return (changed - missed + unexplained) / Math.max(1, changed);
}
