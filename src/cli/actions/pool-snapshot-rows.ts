/** Snapshots of a pool in the form that all their commands print. */
import { statSync } from 'node:fs';
import { snapshotName } from '../../pool/pool-names.ts';
import type { Consistency, Need, SnapshotRecord } from '../../pool/pool-records.ts';
import type { PoolSnapshot } from '../../pool/pool.ts';

export interface PoolSnapshotRow {
  /** `VOLUME@NAME` */
  readonly snapshot: string;
  readonly volume: string;
  readonly name: string;
  readonly id: string;
  readonly created: string;
  /** Of the volume as it was; absent when the image is lost. */
  readonly sizeBytes: number | undefined;
  readonly consistency: Consistency;
  /** Why it is no better. */
  readonly reason: string | undefined;
  readonly madeBy: SnapshotRecord['madeBy'];
  /** Id of the snapshot that the volume's content descended from. */
  readonly parent: string | undefined;
  /** The volumes that were taken at the same instant. */
  readonly group: readonly string[] | undefined;
  readonly needs: readonly Pick<Need, 'kind' | 'repository' | 'url'>[];
}

export function describePoolSnapshot({ record, image, ...named }: PoolSnapshot): PoolSnapshotRow {
  const { id, created, consistency, reason, madeBy, parent, group, needs } = record;
  return {
    snapshot: snapshotName(named),
    volume: named.volume,
    name: named.snapshot,
    id,
    created,
    sizeBytes: statSync(image, { throwIfNoEntry: false })?.size,
    consistency,
    reason,
    madeBy,
    parent,
    group: group?.volumes,
    needs: needs.map(({ kind, repository, url }) => ({ kind, repository, url })),
  };
}

const consistencyTexts: Readonly<Record<Consistency, string>> = {
  frozen: 'frozen: its file system stood still',
  unattached: 'unattached: nothing could write to it',
  crash: 'crash: as after a loss of power',
};

export function consistencyText({ consistency, reason }: PoolSnapshotRow): string {
  return `${consistencyTexts[consistency]}${reason === undefined ? '' : `; ${reason}`}`;
}
