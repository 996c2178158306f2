import { resolve } from 'node:path';
import { closeImagePool } from '../../pool/close-image.ts';
import type { Action } from '../command.ts';
import type { PoolCloseOptions } from '../pool-close.ts';
import { exitCodes } from '../shell/exit-code.ts';
import { poolParts } from './open-pool.ts';

export const poolClose: Action<PoolCloseOptions> = async (context, { directory }) => {
  const { signal } = context;
  const pool = resolve(context.poolPath(directory));
  const image = await closeImagePool(pool, poolParts(context), { signal });
  await context.output.record(
    { pool, image },
    {
      names: [image],
      fields: [
        ['Closed', pool],
        ['Image', image],
      ],
    },
  );
  return exitCodes.done;
};
