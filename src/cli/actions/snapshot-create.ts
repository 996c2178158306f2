import { createSnapshots, type CreatedSnapshots } from '../../pool/create-snapshots.ts';
import { createNamedByTime } from '../../pool/name-by-time.ts';
import type { Action } from '../command.ts';
import type { CliContext } from '../shell/cli-context.ts';
import { exitCodes } from '../shell/exit-code.ts';
import type { SnapshotCreateOptions } from '../snapshot-create.ts';
import { dropping, openPool } from './open-pool.ts';
import { describePoolSnapshot } from './pool-snapshot-rows.ts';

export const snapshotCreate: Action<SnapshotCreateOptions> = async (context, options) => {
  const { snapshots, frozenMs } = await create(context, options);
  const rows = snapshots.map((snapshot) => ({ ...describePoolSnapshot(snapshot), frozenMs: Math.round(frozenMs) }));
  for (const { snapshot, consistency, reason } of rows) {
    if (consistency === 'crash') context.log.warn(`${snapshot} is as after a loss of power: ${reason ?? 'not frozen'}`);
  }
  await context.output.list(rows, {
    name: ({ snapshot }) => snapshot,
    columns: [
      { header: 'SNAPSHOT', value: ({ snapshot }) => snapshot },
      { header: 'CONSISTENCY', value: ({ consistency }) => consistency },
      { header: 'FROZEN', value: ({ frozenMs: ms }) => (ms === 0 ? '-' : `${ms} ms`), align: 'right' },
      { header: 'REASON', value: ({ reason }) => reason ?? '-' },
    ],
  });
  return exitCodes.done;
};

async function create(
  context: CliContext,
  { volumes, name, freezeBoundMs }: SnapshotCreateOptions,
): Promise<CreatedSnapshots> {
  const pool = openPool(context);
  const request = { madeBy: 'user', needs: [], freezeBoundMs, ...dropping(context) } as const;
  if (name === undefined) return await createNamedByTime(pool, { ...request, volumes, prefix: '' });
  return await createSnapshots(pool, { ...request, snapshots: volumes.map((volume) => ({ volume, snapshot: name })) });
}
