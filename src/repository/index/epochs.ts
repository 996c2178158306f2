/**
 * Which index blobs count, found from names alone (Kopia `internal/epoch`, `internal/completeset`). Writers add `xn`
 * blobs to the newest epoch; maintenance begins new epochs (`xe`), merges one settled epoch into an `xs` set and a run
 * of them into an `xr` set. A reader must come to exactly the set that Kopia comes to, oddities included: where a
 * comparison looks wrong it is Kopia's, and is named. Names come from a store and are trusted by nobody: nothing here
 * counts from one epoch to the next, so that a name with an absurd number costs no more than any other.
 */
import type { BlobId } from '../../blobs/blob-store.ts';

/** What the names of all `x` blobs say at one moment. */
export interface EpochState {
  readonly writeEpoch: number;
  /** Deleted entries up to this time count as not existing; undefined when nothing was ever dropped. */
  readonly deletionWatermarkSeconds: number | undefined;
  /** The longest chain of range sets, first epoch first. */
  readonly ranges: readonly EpochRange[];
  /** The first complete set of each compacted epoch. */
  readonly compacted: ReadonlyMap<number, readonly BlobId[]>;
  /** Blobs as they were flushed, by epoch. Complete or not: Kopia does not ask. */
  readonly flushed: ReadonlyMap<number, readonly BlobId[]>;
}

export interface EpochRange {
  readonly first: number;
  /** Inclusive. */
  readonly last: number;
  readonly blobs: readonly BlobId[];
}

/** Epochs that are this many behind the write epoch may be compacted (Kopia `numUnsettledEpochs`). */
export const unsettledEpochs = 2;

export function epochState(names: readonly BlobId[]): EpochState {
  const sorted = names.toSorted();
  const starting = (letters: string): BlobId[] => sorted.filter((name) => name.startsWith(letters));
  const compacted = new Map<number, readonly BlobId[]>();
  for (const [epoch, blobs] of byEpoch(starting('xs'))) {
    const set = firstCompleteSet(blobs);
    if (set !== undefined) compacted.set(epoch, set);
  }
  return {
    writeEpoch: starting('xe').reduce((newest, name) => Math.max(newest, epochOf(name) ?? 0), 0),
    deletionWatermarkSeconds: deletionWatermark(starting('xw')),
    ranges: longestChain(completeRanges(starting('xr'))),
    compacted,
    flushed: byEpoch(starting('xn')),
  };
}

/** The blobs whose entries, merged, are the index of the repository. */
export function activeIndexBlobs({ writeEpoch, ranges, compacted, flushed }: EpochState): BlobId[] {
  const result: BlobId[] = [];
  let start = 0;
  for (const range of ranges) {
    // Kopia compares with the start of what is missing: a range of one epoch is passed over.
    if (range.last <= start) continue;
    result.push(...range.blobs);
    start = range.last + 1;
  }
  const epochs = new Set([...compacted.keys(), ...flushed.keys()]);
  for (const epoch of [...epochs].toSorted((a, b) => a - b)) {
    if (epoch < start || epoch > writeEpoch + 1) continue;
    const settled = epoch <= writeEpoch - unsettledEpochs;
    result.push(...((settled ? compacted.get(epoch) : undefined) ?? flushed.get(epoch) ?? []));
  }
  return result;
}

/** The number after the letters, up to the first `_` or the end; undefined when there is none. */
export function epochOf(name: BlobId): number | undefined {
  return wholeNumber(/^[^0-9_]*([0-9]+)(?:_|$)/.exec(name)?.[1]);
}

/**
 * Blobs are one set when their second part, `s…`, is the same; complete when they are as many as their third, `c<N>`,
 * says. A name of another shape is a set of its own.
 */
export function firstCompleteSet(names: readonly BlobId[]): readonly BlobId[] | undefined {
  const sets = new Map<string, BlobId[]>();
  for (const name of names) {
    const [, set, count] = name.split('-', 3);
    const members = /^c[+-]?[0-9]+$/.test(count ?? '') ? Number(count!.slice(1)) : undefined;
    if (set?.startsWith('s') !== true || members === undefined) return [name];
    const found = sets.get(set) ?? [];
    found.push(name);
    sets.set(set, found);
    if (found.length === members) return found;
  }
  return undefined;
}

function byEpoch(names: readonly BlobId[]): Map<number, BlobId[]> {
  const result = new Map<number, BlobId[]>();
  for (const name of names) {
    const epoch = epochOf(name);
    if (epoch === undefined) continue;
    const blobs = result.get(epoch);
    if (blobs === undefined) result.set(epoch, [name]);
    else blobs.push(name);
  }
  return result;
}

function deletionWatermark(names: readonly BlobId[]): number | undefined {
  const times = names.map((name) => wholeNumber(/^xw([0-9]+)$/.exec(name)?.[1])).filter((time) => time !== undefined);
  return times.length === 0 ? undefined : times.reduce((latest, time) => Math.max(latest, time));
}

function completeRanges(names: readonly BlobId[]): EpochRange[] {
  const sets = new Map<string, { readonly first: number; readonly last: number; readonly blobs: BlobId[] }>();
  for (const name of names) {
    const [, from, to] = /^[^0-9_]*([0-9]+)_([0-9]+)_/.exec(name) ?? [];
    const [first, last] = [wholeNumber(from), wholeNumber(to)];
    // A range that ends before it begins would send Kopia round in circles; no writer makes one.
    if (first === undefined || last === undefined || last < first) continue;
    const key = `${first}_${last}`;
    const set = sets.get(key) ?? { first, last, blobs: [] };
    set.blobs.push(name);
    sets.set(key, set);
  }
  const ranges: EpochRange[] = [];
  for (const { first, last, blobs } of sets.values()) {
    const complete = firstCompleteSet(blobs);
    if (complete !== undefined) ranges.push({ first, last, blobs: complete });
  }
  return ranges;
}

interface Chain {
  readonly range: EpochRange;
  readonly rest: Chain | undefined;
  /** Last epoch covered. */
  readonly last: number;
  readonly length: number;
}

/**
 * The chain of ranges from epoch 0 that reaches furthest without a gap; of equals the one with the fewest ranges. Kopia
 * begins the comparison at 0, so a chain that covers nothing but epoch 0 counts as none.
 */
function longestChain(ranges: readonly EpochRange[]): EpochRange[] {
  const byFirst = new Map<number, Chain>();
  // From the end: what follows a range begins after it, so it is known already.
  for (const range of ranges.toSorted((a, b) => b.first - a.first)) {
    const rest = byFirst.get(range.last + 1);
    const chain = { range, rest, last: rest?.last ?? range.last, length: 1 + (rest?.length ?? 0) };
    const best = byFirst.get(range.first);
    const reach = best?.last ?? 0;
    if (chain.last > reach || (best !== undefined && chain.last === reach && chain.length < best.length)) {
      byFirst.set(range.first, chain);
    }
  }
  const result: EpochRange[] = [];
  for (let chain = byFirst.get(0); chain !== undefined; chain = chain.rest) result.push(chain.range);
  return result;
}

function wholeNumber(digits: string | undefined): number | undefined {
  const value = Number(digits ?? Number.NaN);
  return Number.isSafeInteger(value) ? value : undefined;
}
