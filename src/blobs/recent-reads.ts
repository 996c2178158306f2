const rememberedMax = 128;
/** Fewer say nothing of what is usual. */
const rememberedMin = 32;
/** How many of them are as fast as what is usual, and how much longer a read may take. */
const usualShare = 0.95;
const patience = 1.5;
/** Sorting for each read would take longer than it is worth. */
const freshFor = 16;

/** How long the latest reads of one size took, and how long the next one may take before it counts as slow. */
export class RecentReads {
  readonly #ms: number[] = [];
  #added = 0;
  #patienceMs: number | undefined;

  add(ms: number): void {
    this.#ms[this.#added % rememberedMax] = ms;
    this.#added += 1;
    if (this.#added < rememberedMin || this.#added % freshFor !== 0) return;
    const sorted = this.#ms.toSorted((a, b) => a - b);
    this.#patienceMs = patience * sorted[Math.floor(usualShare * (sorted.length - 1))]!;
  }

  /** Milliseconds; undefined while there are too few. */
  patienceMs(): number | undefined {
    return this.#patienceMs;
  }
}
