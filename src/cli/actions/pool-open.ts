import { openImagePool } from '../../pool/pool-image.ts';
import type { Action } from '../command.ts';
import type { PoolOpenOptions } from '../pool-open.ts';
import { exitCodes } from '../shell/exit-code.ts';
import { poolParts } from './open-pool.ts';

export const poolOpen: Action<PoolOpenOptions> = async (context, { directory, image }) => {
  const { signal } = context;
  const opened = await openImagePool(context.poolPath(directory), poolParts(context), { image, signal });
  const { pool, mounted } = opened;
  const value = { pool: pool.layout.root, id: pool.id, mounted };
  await context.output.record(value, {
    names: [value.pool],
    fields: [
      ['Pool', value.pool],
      ['Id', value.id],
      ['Mounted', mounted ? 'now' : 'nothing to do: it is open'],
    ],
  });
  return exitCodes.done;
};
