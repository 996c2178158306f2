import { deleteEach } from '../../pool/delete-each.ts';
import { deleteSnapshot } from '../../pool/delete-snapshot.ts';
import type { PoolSnapshot } from '../../pool/pool.ts';
import type { Action } from '../command.ts';
import { exitCodes } from '../shell/exit-code.ts';
import type { PoolSnapshotDeleteOptions } from '../snapshot-delete.ts';
import { endDeletions } from './end-deletions.ts';
import { openPool } from './open-pool.ts';
import { describePoolSnapshot, type PoolSnapshotRow } from './pool-snapshot-rows.ts';

export const poolSnapshotDelete: Action<PoolSnapshotDeleteOptions> = async (context, { snapshots, force, dryRun }) => {
  const pool = openPool(context);
  const { signal } = context;
  const found: PoolSnapshot[] = [];
  const rows = new Map<PoolSnapshot, PoolSnapshotRow>();
  // All of them are looked at first: a name that was mistyped, or one in use, and none is deleted.
  for (const { volume, snapshot } of snapshots) {
    const one = pool.snapshot(volume, snapshot);
    rows.set(one, describePoolSnapshot(one));
    await deleteSnapshot(pool, one, { force, dryRun: true, signal });
    found.push(one);
  }
  const deletions = await deleteEach(pool, dryRun ? [] : found, { force, dryRun, signal });
  // What did not go, also because another has removed it meanwhile, was not deleted here.
  for (const { snapshot, outcome } of deletions) if (outcome !== 'deleted') rows.delete(snapshot);
  const deleted = [...rows.values()].map((row) => ({ ...row, dryRun }));
  await context.output.list(deleted, {
    name: ({ snapshot }) => snapshot,
    columns: [
      { header: dryRun ? 'WOULD DELETE' : 'DELETED', value: ({ snapshot }) => snapshot },
      { header: 'TIME', value: ({ created }) => created },
    ],
  });
  endDeletions(context, deletions, { refused: true });
  return exitCodes.done;
};
