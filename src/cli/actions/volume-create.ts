import { createVolume } from '../../pool/create-volume.ts';
import type { Action } from '../command.ts';
import { exitCodes } from '../shell/exit-code.ts';
import type { VolumeCreateOptions } from '../volume-create.ts';
import { dropping, openPool } from './open-pool.ts';
import { printVolume } from './volume-rows.ts';

export const volumeCreate: Action<VolumeCreateOptions> = async (context, options) => {
  const volume = await createVolume(openPool(context), { ...options, ...dropping(context) });
  await printVolume(context, volume);
  return exitCodes.done;
};
