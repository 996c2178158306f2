import { cloneVolume } from '../../pool/create-volume.ts';
import type { Action } from '../command.ts';
import { exitCodes } from '../shell/exit-code.ts';
import type { VolumeCloneOptions } from '../volume-clone.ts';
import { dropping, openPool } from './open-pool.ts';
import { printVolume } from './volume-rows.ts';

export const volumeClone: Action<VolumeCloneOptions> = async (context, options) => {
  const volume = await cloneVolume(openPool(context), { ...options, ...dropping(context) });
  await printVolume(context, volume);
  return exitCodes.done;
};
