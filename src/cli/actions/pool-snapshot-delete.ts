import { deleteSnapshot } from '../../pool/delete-snapshot.ts';
import type { Action } from '../command.ts';
import { exitCodes } from '../shell/exit-code.ts';
import type { PoolSnapshotDeleteOptions } from '../snapshot-delete.ts';
import { openPool } from './open-pool.ts';
import { describePoolSnapshot, type PoolSnapshotRow } from './pool-snapshot-rows.ts';

export const poolSnapshotDelete: Action<PoolSnapshotDeleteOptions> = async (context, { snapshots, force, dryRun }) => {
  const pool = openPool(context);
  const rows: (PoolSnapshotRow & { readonly dryRun: boolean })[] = [];
  // All of them are looked at first: a name that was mistyped, or one in use, and none is deleted.
  for (const name of snapshots) {
    const row = describePoolSnapshot(pool.snapshot(name.volume, name.snapshot));
    await deleteSnapshot(pool, name, { force, dryRun: true, signal: context.signal });
    rows.push({ ...row, dryRun });
  }
  if (!dryRun) {
    for (const name of snapshots) await deleteSnapshot(pool, name, { force, signal: context.signal });
  }
  await context.output.list(rows, {
    name: ({ snapshot }) => snapshot,
    columns: [
      { header: dryRun ? 'WOULD DELETE' : 'DELETED', value: ({ snapshot }) => snapshot },
      { header: 'TIME', value: ({ created }) => created },
    ],
  });
  return exitCodes.done;
};
