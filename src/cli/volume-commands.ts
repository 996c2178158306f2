/** What is done with volumes of a pool: the commands below `dray volume`. */
import type { Command } from 'commander';
import type { Action } from './command.ts';
import type { CliContext } from './shell/cli-context.ts';
import { registerVolumeAttach, type VolumeAttachOptions } from './volume-attach.ts';
import { registerVolumeClone, type VolumeCloneOptions } from './volume-clone.ts';
import { registerVolumeCreate, type VolumeCreateOptions } from './volume-create.ts';
import { registerVolumeDelete, type VolumeDeleteOptions } from './volume-delete.ts';
import { registerVolumeDetach, type VolumeDetachOptions } from './volume-detach.ts';
import { registerVolumeList, type VolumeListOptions } from './volume-list.ts';
import { registerVolumeResize, type VolumeResizeOptions } from './volume-resize.ts';
import { registerVolumeRevert, type VolumeRevertOptions } from './volume-revert.ts';
import { registerVolumeRewrite, type VolumeRewriteOptions } from './volume-rewrite.ts';
import { registerVolumeShow, type VolumeShowOptions } from './volume-show.ts';

export interface VolumeActions {
  readonly volumeCreate: Action<VolumeCreateOptions>;
  readonly volumeList: Action<VolumeListOptions>;
  readonly volumeShow: Action<VolumeShowOptions>;
  readonly volumeAttach: Action<VolumeAttachOptions>;
  readonly volumeDetach: Action<VolumeDetachOptions>;
  readonly volumeResize: Action<VolumeResizeOptions>;
  readonly volumeClone: Action<VolumeCloneOptions>;
  readonly volumeRevert: Action<VolumeRevertOptions>;
  readonly volumeRewrite: Action<VolumeRewriteOptions>;
  readonly volumeDelete: Action<VolumeDeleteOptions>;
}

export function registerVolumeCommands(volume: Command, context: CliContext, actions: VolumeActions): void {
  registerVolumeCreate(volume, context, actions.volumeCreate);
  registerVolumeList(volume, context, actions.volumeList);
  registerVolumeShow(volume, context, actions.volumeShow);
  registerVolumeAttach(volume, context, actions.volumeAttach);
  registerVolumeDetach(volume, context, actions.volumeDetach);
  registerVolumeResize(volume, context, actions.volumeResize);
  registerVolumeClone(volume, context, actions.volumeClone);
  registerVolumeRevert(volume, context, actions.volumeRevert);
  registerVolumeRewrite(volume, context, actions.volumeRewrite);
  registerVolumeDelete(volume, context, actions.volumeDelete);
}
