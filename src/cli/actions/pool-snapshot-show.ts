import { describeNeed } from '../../pool/pool-records.ts';
import { imageFigures } from '../../pool/inspect-pool.ts';
import { formatSize, sizeText } from '../../std/format-size.ts';
import type { Action } from '../command.ts';
import { exitCodes } from '../shell/exit-code.ts';
import type { PoolSnapshotShowOptions } from '../snapshot-show.ts';
import { openPool } from './open-pool.ts';
import { consistencyText, describePoolSnapshot } from './pool-snapshot-rows.ts';

export const poolSnapshotShow: Action<PoolSnapshotShowOptions> = async (
  context,
  { snapshot: { volume, snapshot } },
) => {
  const found = openPool(context).snapshot(volume, snapshot);
  const row = describePoolSnapshot(found);
  const { extents, uniqueBytes, sharedBytes } = await imageFigures(found.image, context);
  const value = { ...row, extents, uniqueBytes, sharedBytes };
  const fields: [string, string | undefined][] = [
    ['Snapshot', row.snapshot],
    ['Id', row.id],
    ['Taken', `${row.created}${row.madeBy === 'backup' ? ', by a backup' : ''}`],
    ['Consistency', consistencyText(row)],
    ['Size', row.sizeBytes === undefined ? 'lost' : sizeText(row.sizeBytes)],
    ['Data', `${formatSize(uniqueBytes)} of its own, ${formatSize(sharedBytes)} shared`],
    ['Parent', row.parent],
    ['Group', row.group?.join(', ')],
    ...row.needs.map((need): [string, string] => ['Needed by', `the next ${describeNeed(need)}`]),
  ];
  await context.output.record(value, { names: [row.snapshot], fields });
  return exitCodes.done;
};
