import { imageFigures } from '../../pool/inspect-pool.ts';
import { deleteVolume } from '../../pool/delete-volume.ts';
import { namesIn } from '../../pool/pool.ts';
import { readableVolume } from '../../pool/readable.ts';
import { formatSize } from '../../std/format-size.ts';
import type { Action } from '../command.ts';
import { exitCodes } from '../shell/exit-code.ts';
import type { VolumeDeleteOptions } from '../volume-delete.ts';
import { openPool } from './open-pool.ts';

export const volumeDelete: Action<VolumeDeleteOptions> = async (context, { name, ...options }) => {
  const pool = openPool(context);
  // Of a lost volume its snapshots may be left, to be deleted with what is left of it.
  const volume = readableVolume(pool, name);
  const snapshots = namesIn(pool.layout.snapshots(name));
  const uniqueBytes = volume === undefined ? 0 : (await imageFigures(volume.image, context)).uniqueBytes;
  await deleteVolume(pool, name, { ...options, signal: context.signal });
  const { dryRun } = options;
  const value = { volume: name, dryRun, uniqueBytes, snapshots };
  await context.output.record(value, {
    names: [name],
    fields: [
      [dryRun ? 'Would delete' : 'Deleted', name],
      ['Its own', formatSize(uniqueBytes)],
      ['Snapshots', value.snapshots.join(', ') || 'none'],
    ],
  });
  return exitCodes.done;
};
