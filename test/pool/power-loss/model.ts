/**
 * What a pool must hold, as one map. Every operation says beforehand what it will put there and take away, and again
 * with all digests when it has resolved. An interruption may leave the state before an operation or the one after it,
 * nothing in between.
 */

export interface Thing {
  /** Digest of size and data; null where nobody can know it (`test/support/volume-model.ts`). */
  readonly digest: string | null;
  readonly sizeBytes: number;
  /** Repositories that need a snapshot. */
  readonly needs: readonly string[];
  /** What the file system inside must have in its file `marker`; null where it may be old or new, absent without a file system. */
  readonly marker?: string | null;
}

/** `VOLUME` or `VOLUME@SNAPSHOT` to what it is. */
export type PoolState = ReadonlyMap<string, Thing>;

export interface Effect {
  readonly put: Readonly<Record<string, Thing>>;
  readonly gone: readonly string[];
}

/** One line of the worker's journal. */
export type JournalLine =
  | { readonly kind: 'begin'; readonly what: string; readonly effect: Effect }
  /** The operation has resolved: what it promised is durable. */
  | { readonly kind: 'done'; readonly effect: Effect }
  /** It was refused, which may be; nothing may have changed. */
  | { readonly kind: 'refused'; readonly message: string };

export function apply(state: PoolState, { put, gone }: Effect): PoolState {
  const next = new Map(state);
  for (const name of gone) next.delete(name);
  for (const [name, thing] of Object.entries(put)) next.set(name, thing);
  return next;
}

export interface Reading {
  /** After all that was acknowledged. */
  readonly acknowledged: PoolState;
  /** What was begun and not acknowledged. */
  readonly begun: { readonly what: string; readonly effect: Effect } | undefined;
  readonly operations: number;
}

/** Follows the journal from `start`. */
export function follow(start: PoolState, lines: readonly JournalLine[]): Reading {
  let acknowledged = start;
  let begun: Reading['begun'];
  let operations = 0;
  for (const line of lines) {
    switch (line.kind) {
      case 'begin':
        begun = line;
        break;
      case 'refused':
        begun = undefined;
        break;
      case 'done':
        acknowledged = apply(acknowledged, line.effect);
        begun = undefined;
        operations += 1;
        break;
    }
  }
  return { acknowledged, begun, operations };
}

/** What is wrong with `found`; empty when it is as expected. */
export function differences(expected: PoolState, found: PoolState): string[] {
  const wrong: string[] = [];
  for (const name of found.keys()) if (!expected.has(name)) wrong.push(`${name} should not be there`);
  for (const [name, want] of expected) {
    const have = found.get(name);
    if (have === undefined) wrong.push(`${name} is missing`);
    else wrong.push(...thingDifferences(name, want, have));
  }
  return wrong;
}

function thingDifferences(name: string, want: Thing, have: Thing): string[] {
  const wrong: string[] = [];
  if (want.sizeBytes !== have.sizeBytes) wrong.push(`${name} has ${have.sizeBytes} bytes, not ${want.sizeBytes}`);
  if (want.digest !== null && have.digest !== null && want.digest !== have.digest) wrong.push(`${name} is not right`);
  if (want.needs.join() !== have.needs.join()) wrong.push(`${name} is needed by [${have.needs}], not [${want.needs}]`);
  const [should, does] = [want.marker ?? undefined, have.marker ?? undefined];
  if (should !== undefined && does !== undefined && should !== does) {
    wrong.push(`the file in ${name} is not what was synced`);
  }
  return wrong;
}

/** What a kill may leave, or what a copy of the disk that was begun after `before` and ended before `after` may hold. */
export function mayHold(before: Reading, after: Reading): PoolState[] {
  const states = [before.acknowledged];
  for (const { acknowledged, begun } of [before, after]) {
    states.push(acknowledged);
    if (begun !== undefined) states.push(apply(acknowledged, begun.effect));
  }
  return states;
}

/** The expected state that `found` is; otherwise throws what keeps it from the nearest. */
export function whichHolds(expected: readonly PoolState[], found: PoolState): PoolState {
  const wrong = expected.map((state) => differences(state, found));
  const nearest = wrong.reduce((a, b) => (b.length < a.length ? b : a));
  if (nearest.length > 0) throw new Error(nearest.join('; '));
  return expected[wrong.indexOf(nearest)]!;
}
