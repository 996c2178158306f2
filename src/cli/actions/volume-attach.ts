import { attachVolume } from '../../pool/attach.ts';
import type { Action } from '../command.ts';
import { exitCodes } from '../shell/exit-code.ts';
import type { VolumeAttachOptions } from '../volume-attach.ts';
import { openPool } from './open-pool.ts';
import { printAttached } from './print-attached.ts';

export const volumeAttach: Action<VolumeAttachOptions> = async (context, { name, readOnly }) => {
  const attached = await attachVolume(openPool(context), name, { readOnly, signal: context.signal });
  await printAttached(context, { volume: name }, attached);
  return exitCodes.done;
};
