/** How snapshots are taken, listed, compared, kept and deleted: the commands below `dray snapshot`. */
import type { Command } from 'commander';
import type { ChangesOptions } from './changes.ts';
import type { Action } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { registerSnapshotAttach, type SnapshotAttachOptions } from './snapshot-attach.ts';
import { registerSnapshotCat, type SnapshotCatOptions } from './snapshot-cat.ts';
import { registerSnapshotCreate, type SnapshotCreateOptions } from './snapshot-create.ts';
import { registerSnapshotDelete, type SnapshotDeleteActions } from './snapshot-delete.ts';
import { registerSnapshotDetach, type SnapshotDetachOptions } from './snapshot-detach.ts';
import { registerSnapshotDiff } from './snapshot-diff.ts';
import { registerSnapshotExpire, type SnapshotExpireActions } from './snapshot-expire.ts';
import { registerSnapshotList, type SnapshotListActions } from './snapshot-list.ts';
import { registerSnapshotLs, type SnapshotLsOptions } from './snapshot-ls.ts';
import { registerSnapshotPin, type SnapshotPinOptions } from './snapshot-pin.ts';
import { registerSnapshotShow, type SnapshotShowActions } from './snapshot-show.ts';

export interface SnapshotActions
  extends SnapshotDeleteActions, SnapshotExpireActions, SnapshotListActions, SnapshotShowActions {
  readonly snapshotCreate: Action<SnapshotCreateOptions>;
  readonly snapshotAttach: Action<SnapshotAttachOptions>;
  readonly snapshotDetach: Action<SnapshotDetachOptions>;
  readonly snapshotLs: Action<SnapshotLsOptions>;
  readonly snapshotCat: Action<SnapshotCatOptions>;
  readonly snapshotDiff: Action<ChangesOptions>;
  readonly snapshotPin: Action<SnapshotPinOptions>;
}

export function registerSnapshotCommands(snapshot: Command, context: CliContext, actions: SnapshotActions): void {
  registerSnapshotCreate(snapshot, context, actions.snapshotCreate);
  registerSnapshotList(snapshot, context, actions);
  registerSnapshotShow(snapshot, context, actions);
  registerSnapshotLs(snapshot, context, actions.snapshotLs);
  registerSnapshotCat(snapshot, context, actions.snapshotCat);
  registerSnapshotDiff(snapshot, context, actions.snapshotDiff);
  registerSnapshotPin(snapshot, context, actions.snapshotPin);
  registerSnapshotExpire(snapshot, context, actions);
  registerSnapshotDelete(snapshot, context, actions);
  registerSnapshotAttach(snapshot, context, actions.snapshotAttach);
  registerSnapshotDetach(snapshot, context, actions.snapshotDetach);
}
