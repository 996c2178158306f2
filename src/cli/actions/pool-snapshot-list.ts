import { faultsOfVolume } from '../../pool/find-faults.ts';
import { describeNeed } from '../../pool/pool-records.ts';
import { readableSnapshots } from '../../pool/readable.ts';
import { formatSize } from '../../std/format-size.ts';
import type { Action } from '../command.ts';
import { exitCodes } from '../shell/exit-code.ts';
import { shortTime } from '../shell/short-time.ts';
import type { PoolSnapshotListOptions } from '../snapshot-list.ts';
import { openPool, warnOfDamage } from './open-pool.ts';
import { describePoolSnapshot, type PoolSnapshotRow } from './pool-snapshot-rows.ts';

export const poolSnapshotList: Action<PoolSnapshotListOptions> = async (context, { volume }) => {
  const pool = openPool(context);
  const snapshots = readableSnapshots(pool, volume);
  if (snapshots.length === 0) pool.volume(volume);
  const rows = snapshots.map(describePoolSnapshot);
  const sound = rows.filter(({ sizeBytes }) => sizeBytes !== undefined).map(({ name }) => name);
  warnOfDamage(context, faultsOfVolume(pool, volume, { sound: new Set(sound), inSound: false }));
  await context.output.list(rows, {
    name: ({ snapshot }) => snapshot,
    columns: [
      { header: 'SNAPSHOT', value: ({ snapshot }) => snapshot },
      { header: 'TIME', value: ({ created }) => shortTime(created) },
      {
        header: 'SIZE',
        value: ({ sizeBytes }) => (sizeBytes === undefined ? '-' : formatSize(sizeBytes)),
        align: 'right',
      },
      { header: 'CONSISTENCY', value: ({ consistency }) => consistency },
      { header: 'NOTES', value: notes },
    ],
  });
  return exitCodes.done;
};

function notes({ madeBy, group, needs, sizeBytes }: PoolSnapshotRow): string {
  return [
    ...(sizeBytes === undefined ? ['LOST'] : []),
    ...(madeBy === 'backup' ? ['by a backup'] : []),
    ...(group === undefined ? [] : [`with ${group.join(',')}`]),
    ...needs.map((need) => `needed by ${describeNeed(need)}`),
  ].join('; ');
}
