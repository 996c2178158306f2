import { detachVolume } from '../../pool/attach.ts';
import type { Action } from '../command.ts';
import { exitCodes } from '../shell/exit-code.ts';
import type { VolumeDetachOptions } from '../volume-detach.ts';
import { openPool } from './open-pool.ts';
import { printDetached } from './print-attached.ts';

export const volumeDetach: Action<VolumeDetachOptions> = async (context, { name }) => {
  await printDetached(context, { volume: name }, await detachVolume(openPool(context), name, context));
  return exitCodes.done;
};
