import { fragmentedExtents } from '../../pool/inspect-pool.ts';
import type { Pool } from '../../pool/pool.ts';
import { rewriteFragmented, type Rewritten } from '../../pool/rewrite-fragmented.ts';
import type { Action } from '../command.ts';
import type { CliContext } from '../shell/cli-context.ts';
import { exitCodes } from '../shell/exit-code.ts';
import { formatSize } from '../shell/sizes.ts';
import type { VolumeRewriteOptions } from '../volume-rewrite.ts';
import { openPool } from './open-pool.ts';

const lookEveryMs = 10_000;

export const volumeRewrite: Action<VolumeRewriteOptions> = async (context, options) => {
  const pool = openPool(context);
  await context.output.stream(rewriting(context, pool, options), {
    name: ({ volume }) => volume,
    line: ({ volume, extentsBefore, extentsAfter, gatheredBytes, busyBytes, stoppedForRoom }) => {
      const busy = busyBytes === 0 ? '' : `, ${formatSize(busyBytes)} were being written to and stay`;
      const room = stoppedForRoom ? '; the pool has no room for more' : '';
      return `${volume}: ${extentsBefore} extents became ${extentsAfter}, ${formatSize(gatheredBytes)} gathered${busy}${room}`;
    },
  });
  return exitCodes.done;
};

async function* rewriting(
  context: CliContext,
  pool: Pool,
  { names, watch, extentsMax }: VolumeRewriteOptions,
): AsyncGenerator<Rewritten, void, undefined> {
  const { clock, signal } = context;
  // What is named, and not watched, is meant as it is.
  const most = extentsMax ?? (names === undefined || watch ? fragmentedExtents : 1);
  const progress = context.progress();
  for (;;) {
    const rewritten = rewriteFragmented(pool, {
      volumes: names,
      extentsMax: most,
      onProgress: (doneBytes, totalBytes) => progress.update({ phase: 'rewrite', doneBytes, totalBytes }),
      signal,
    });
    // A volume that lies in many places by what it holds, between holes, is found again and again.
    for await (const one of rewritten) if (!watch || didAnything(one)) yield one;
    progress.end();
    if (!watch) return;
    await clock.sleep(lookEveryMs, { signal });
  }
}

function didAnything({ gatheredBytes, busyBytes, stoppedForRoom }: Rewritten): boolean {
  return gatheredBytes > 0 || busyBytes > 0 || stoppedForRoom;
}
