import { resolve } from 'node:path';
import { createPool } from '../../pool/create-pool.ts';
import { createImagePool } from '../../pool/pool-image.ts';
import { isOnReverseMap } from '../../pool/reverse-map.ts';
import { formatSize } from '../../std/format-size.ts';
import type { Action } from '../command.ts';
import type { PoolCreateOptions } from '../pool-create.ts';
import { exitCodes } from '../shell/exit-code.ts';
import { poolParts } from './open-pool.ts';

export const poolCreate: Action<PoolCreateOptions> = async (context, { directory, image: named }) => {
  const { signal } = context;
  const path = context.poolPath(directory);
  const image = named && { ...named, path: resolve(named.path) };
  const pool =
    image === undefined
      ? await createPool(path, poolParts(context), { signal })
      : await createImagePool(path, poolParts(context), { image: image.path, sizeBytes: image.sizeBytes, signal });
  const { layout, id } = pool;
  const value = { pool: layout.root, id, image: image?.path, imageSizeBytes: image?.sizeBytes };
  await context.output.record(value, {
    names: [layout.root],
    fields: [
      ['Pool', layout.root],
      ['Id', id],
      ...(image === undefined ? [] : [['Image', `${image.path}, ${formatSize(image.sizeBytes)}`] as const]),
    ],
  });
  if (image !== undefined) context.log.info('after a reboot, "dray pool open" mounts it again');
  if (await isOnReverseMap(pool)) {
    context.log.warn(
      'this XFS keeps a reverse map (rmapbt=1): snapshots take two to three times as long, and so do first writes after one. ' +
        'Made with "mkfs.xfs -m reflink=1,rmapbt=0" it does not; pools with --image are',
    );
  }
  return exitCodes.done;
};
