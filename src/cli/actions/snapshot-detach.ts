import { detachSnapshot } from '../../pool/attach.ts';
import { snapshotName } from '../../pool/pool-names.ts';
import type { Action } from '../command.ts';
import { exitCodes } from '../shell/exit-code.ts';
import type { SnapshotDetachOptions } from '../snapshot-detach.ts';
import { openPool } from './open-pool.ts';
import { printDetached } from './print-attached.ts';

export const snapshotDetach: Action<SnapshotDetachOptions> = async (context, { snapshot }) => {
  const found = await detachSnapshot(openPool(context), snapshot, context);
  await printDetached(context, { snapshot: snapshotName(snapshot) }, found);
  return exitCodes.done;
};
