import assert from 'node:assert/strict';

export interface MapConcurrentOptions {
  /** Calls in progress at once, and results waiting for the consumer. */
  readonly limit: number;
  readonly signal: AbortSignal;
}

/**
 * Applies `work` to the items with at most `limit` calls under way and yields the results in the order of the items.
 * It pulls: an item is taken only when a call may start, so a slow consumer slows the source. The first result comes
 * when `limit` calls have been started or the items have ended.
 * The first failure aborts the signal that the other calls got; all of them have settled before it is thrown, and
 * before an early `return` of the consumer completes. Nothing outlives the generator.
 */
export async function* mapConcurrent<Item, Result>(
  items: Iterable<Item> | AsyncIterable<Item>,
  { limit, signal }: MapConcurrentOptions,
  work: (item: Item, options: { readonly signal: AbortSignal }) => Promise<Result>,
): AsyncGenerator<Result, void, undefined> {
  assert(Number.isSafeInteger(limit) && limit > 0, `not a limit: ${limit}`);
  signal.throwIfAborted();
  const stop = new AbortController();
  const within = AbortSignal.any([signal, stop.signal]);
  const running: Promise<Result>[] = [];
  let failed = false;
  let failure: unknown;
  const start = (item: Item): Promise<Result> => {
    const call = work(item, { signal: within });
    call.catch((error: unknown) => {
      if (failed) return;
      failed = true;
      failure = error;
      stop.abort(new Error('another call failed'));
    });
    return call;
  };
  try {
    for await (const item of items) {
      if (failed) throw failure;
      signal.throwIfAborted();
      running.push(start(item));
      if (running.length >= limit) yield await next(running);
    }
    while (running.length > 0) yield await next(running);
  } catch (error) {
    signal.throwIfAborted();
    throw failed ? failure : error;
  } finally {
    stop.abort(new Error('no more results are wanted'));
    await Promise.allSettled(running);
  }
}

async function next<Result>(running: Promise<Result>[]): Promise<Result> {
  const first = running[0];
  assert(first !== undefined);
  try {
    return await first;
  } finally {
    void running.shift();
  }
}
