import { comparePoolSnapshots } from '../../changes/pool-changes.ts';
import { snapshotName } from '../../pool/pool-names.ts';
import type { PoolChangesOptions } from '../changes.ts';
import type { Action } from '../command.ts';
import { exitCodes } from '../shell/exit-code.ts';
import { openPool } from './open-pool.ts';
import { printChanges } from './print-changes.ts';

export const poolChanges: Action<PoolChangesOptions> = async (context, { from, to, parent }) => {
  const pool = openPool(context);
  const base = pool.snapshot(from.volume, from.snapshot);
  const target = pool.snapshot(to.volume, to.snapshot);
  const startedMs = context.clock.monotonicMs();
  const found = await comparePoolSnapshots(pool, { base, target }, context);
  const durationMs = context.clock.monotonicMs() - startedMs;
  const compared = { from: snapshotName(from), to: snapshotName(to), parent };
  await printChanges(context, compared, { rung: 'extents', durationMs, ...found });
  if (found.moved) context.log.warn('the pool was moving blocks all the time: more is named than has changed');
  return exitCodes.done;
};
