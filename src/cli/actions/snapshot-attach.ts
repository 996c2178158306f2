import { attachSnapshot } from '../../pool/attach.ts';
import { snapshotName } from '../../pool/pool-names.ts';
import type { Action } from '../command.ts';
import { exitCodes } from '../shell/exit-code.ts';
import type { SnapshotAttachOptions } from '../snapshot-attach.ts';
import { openPool } from './open-pool.ts';
import { printAttached } from './print-attached.ts';

export const snapshotAttach: Action<SnapshotAttachOptions> = async (context, { snapshot }) => {
  const found = await attachSnapshot(openPool(context), snapshot, context);
  await printAttached(context, { snapshot: snapshotName(snapshot) }, found);
  return exitCodes.done;
};
