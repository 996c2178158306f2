/**
 * The rungs of the ladder, best first: ways to learn what may have changed in a volume since a snapshot of it. What each
 * promises is data, so that a run can say why it stands where it stands. A new way is a line here and an
 * offer (`ladder.ts`).
 */

export type RungName = 'extents' | 'nbd' | 'list' | 'mtime' | 'tree' | 'scan';

/** Rungs that a backup may be offered; a scan is always there, and two snapshots are compared without a volume. */
export type OfferedRung = Exclude<RungName, 'tree' | 'scan'>;

export interface Rung {
  readonly name: RungName;
  /** What the user may rely on. */
  readonly promise: string;
  /** Whether chunks that it calls unchanged are read again in turn: it can be wrong without anybody noticing. */
  readonly audited: boolean;
}

export const rungs: readonly Rung[] = [
  {
    name: 'extents',
    promise: 'exact to 4 KiB; nothing is read to find it out',
    audited: true,
  },
  {
    name: 'nbd',
    promise: 'as good as the server keeps its bitmap',
    audited: true,
  },
  {
    name: 'list',
    promise: 'as good as who wrote the list',
    audited: true,
  },
  {
    name: 'mtime',
    promise: 'nothing has changed, unless somebody set the times back',
    audited: true,
  },
  {
    name: 'tree',
    promise: 'exact to 1 MiB; ids are compared, no data is read',
    audited: false,
  },
  {
    name: 'scan',
    promise: 'misses nothing; all data is read, and what is unchanged is not stored again',
    audited: false,
  },
];

export function rungNamed(name: RungName): Rung {
  return rungs[rankOf(name)]!;
}

/** The better the lower. */
export function rankOf(name: RungName): number {
  return rungs.findIndex((rung) => rung.name === name);
}
