import { fragmentedExtents } from '../../pool/inspect-pool.ts';
import type { Pool } from '../../pool/pool.ts';
import { rewriteFragmented } from '../../pool/rewrite-fragmented.ts';
import { watchFragmented, type Watched } from '../../pool/watch-fragmented.ts';
import { formatSize } from '../../std/format-size.ts';
import type { Action } from '../command.ts';
import type { CliContext } from '../shell/cli-context.ts';
import { exitCodes } from '../shell/exit-code.ts';
import type { VolumeRewriteOptions } from '../volume-rewrite.ts';
import { openPool } from './open-pool.ts';

export const volumeRewrite: Action<VolumeRewriteOptions> = async (context, options) => {
  const pool = openPool(context);
  await context.output.stream(rewriting(context, pool, options), {
    name: ({ volume }) => volume,
    line: ({ volume, extentsBefore, extentsAfter, gatheredBytes, busyBytes, stoppedForRoom, restsMs }) => {
      const busy = busyBytes === 0 ? '' : `, ${formatSize(busyBytes)} were being written to and stay`;
      const room = stoppedForRoom ? '; the pool has no room for more' : '';
      const rests = restsMs === 0 ? '' : `; it is left alone for ${restsMs / 60_000} min`;
      return `${volume}: ${extentsBefore} extents became ${extentsAfter}, ${formatSize(gatheredBytes)} gathered${busy}${room}${rests}`;
    },
  });
  return exitCodes.done;
};

async function* rewriting(
  context: CliContext,
  pool: Pool,
  { names, watch, extentsMax }: VolumeRewriteOptions,
): AsyncGenerator<Watched, void, undefined> {
  const progress = context.progress();
  const rewrite = {
    volumes: names,
    // What is named, and not watched, is meant as it is.
    extentsMax: extentsMax ?? (names === undefined || watch ? fragmentedExtents : 1),
    onProgress: (doneBytes: number, totalBytes: number) => progress.update({ phase: 'rewrite', doneBytes, totalBytes }),
    signal: context.signal,
  };
  if (watch) yield* watchFragmented(pool, { ...rewrite, onRest: () => progress.end() });
  for await (const one of rewriteFragmented(pool, rewrite)) yield { ...one, restsMs: 0 };
  progress.end();
}
