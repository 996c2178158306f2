/**
 * Volumes of a pool that become fragmented, gathered again and again while a service runs. A gathering can be in vain: the
 * volume is written to faster than it can be gathered, the pool is full, or what it holds lies between holes.
 * Such a volume rests, twice as long each time, so that a service does not copy it for ever.
 */
import { rewriteFragmented, type RewriteFragmentedOptions, type Rewritten } from './rewrite-fragmented.ts';
import type { Pool } from './pool.ts';

export interface Watched extends Rewritten {
  /** For so long the volume is not looked at again; 0: as always. */
  readonly restsMs: number;
}

export type WatchOptions = Omit<RewriteFragmentedOptions, 'isLeftOut'> & {
  /** There is no more to be gathered for now. */
  readonly onRest: () => void;
};

const lookEveryMs = 10_000;
const restMsMin = 60_000;
const restMsMax = 16 * 60_000;

/** Until the signal. What was looked at and left as it was is not told. @throws {PoolError} of a volume that was named */
export async function* watchFragmented(
  pool: Pool,
  { onRest, ...options }: WatchOptions,
): AsyncGenerator<Watched, never, undefined> {
  const { clock } = pool;
  const resting = new Map<string, { readonly untilMs: number; readonly restsMs: number; readonly forRoom: boolean }>();
  for (;;) {
    const beganMs = clock.monotonicMs();
    const isLeftOut = (volume: string): boolean => clock.monotonicMs() < (resting.get(volume)?.untilMs ?? 0);
    for await (const one of rewriteFragmented(pool, { ...options, isLeftOut })) {
      const { volume, gatheredBytes, busyBytes, stoppedForRoom } = one;
      const isInVain = gatheredBytes === 0 || busyBytes > gatheredBytes;
      const before = resting.get(volume);
      const restsMs = isInVain ? Math.min(2 * (before?.restsMs ?? restMsMin / 2), restMsMax) : 0;
      if (isInVain) resting.set(volume, { untilMs: clock.monotonicMs() + restsMs, restsMs, forRoom: stoppedForRoom });
      else resting.delete(volume);
      // A pool that stays full is told once.
      const isNews = stoppedForRoom && before?.forRoom !== true;
      if (gatheredBytes > 0 || busyBytes > 0 || isNews) yield { ...one, restsMs };
    }
    onRest();
    // Half of the time at most is given to it.
    await clock.sleep(Math.max(lookEveryMs, clock.monotonicMs() - beganMs), { signal: options.signal });
  }
}
