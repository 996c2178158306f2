import { resizeVolume } from '../../pool/resize-volume.ts';
import type { Action } from '../command.ts';
import { exitCodes } from '../shell/exit-code.ts';
import type { VolumeResizeOptions } from '../volume-resize.ts';
import { openPool } from './open-pool.ts';
import { printVolume } from './volume-rows.ts';

export const volumeResize: Action<VolumeResizeOptions> = async (context, { name, ...options }) => {
  const volume = await resizeVolume(openPool(context), name, { ...options, signal: context.signal });
  await printVolume(context, volume);
  return exitCodes.done;
};
