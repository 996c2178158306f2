/**
 * Which contents this run has already stored, shared by all workers: an open-addressing hash table of whole content
 * hashes in shared memory, claimed with one compare-and-swap. A worker that claims a hash writes it; all others
 * treat it as stored. Exact: no false positives, because a false "already there" would lose data.
 *
 * It spans only the time between two index flushes: what was flushed is found in the index. Two generations take
 * turns, because workers switch at slightly different moments: a look-up sees both, a claim goes into the current one.
 * Two workers that claim the same hash in different generations write it twice, which costs space and nothing else.
 */
const emptySlot = 0;
const writingSlot = 1;
const readySlot = 2;
/** Linear probing gives up after this many steps: the content is then stored without being remembered. */
const probesMax = 64;

export interface ClaimMemory {
  readonly states: SharedArrayBuffer;
  readonly keys: SharedArrayBuffer;
  readonly slots: number;
  readonly hashLengthBytes: number;
}

/** @param options.slots per generation, a power of two, about twice the contents between two flushes. */
export function allocateClaims(options: { readonly slots: number; readonly hashLengthBytes: number }): ClaimMemory {
  return {
    states: new SharedArrayBuffer(options.slots * 2 * Int32Array.BYTES_PER_ELEMENT),
    keys: new SharedArrayBuffer(options.slots * 2 * options.hashLengthBytes),
    slots: options.slots,
    hashLengthBytes: options.hashLengthBytes,
  };
}

export class ClaimTable {
  readonly #states: Int32Array;
  readonly #keys: Uint8Array;
  readonly #slots: number;
  readonly #hashLength: number;
  #generation = 0;

  constructor(memory: ClaimMemory) {
    this.#states = new Int32Array(memory.states);
    this.#keys = new Uint8Array(memory.keys);
    this.#slots = memory.slots;
    this.#hashLength = memory.hashLengthBytes;
  }

  /** True when the caller must store this content: nobody has claimed it in either generation. */
  claim(hash: Uint8Array): boolean {
    const other = 1 - this.#generation;
    if (this.#find(hash, other)) return false;
    return this.#insert(hash, this.#generation);
  }

  /** True when somebody has claimed this content. */
  has(hash: Uint8Array): boolean {
    return this.#find(hash, 0) || this.#find(hash, 1);
  }

  /** Later claims of this thread go into generation `number % 2`. */
  switchTo(number: number): void {
    this.#generation = number % 2;
  }

  /** Forgets a generation. Only when every thread has switched away from it and its contents are in the index. */
  clear(number: number): void {
    const start = (number % 2) * this.#slots;
    for (let slot = start; slot < start + this.#slots; slot++) Atomics.store(this.#states, slot, emptySlot);
  }

  #find(hash: Uint8Array, generation: number): boolean {
    for (let probe = 0; probe < probesMax; probe++) {
      const slot = this.#slot(hash, generation, probe);
      const state = this.#settled(slot);
      if (state === emptySlot) return false;
      if (this.#equals(slot, hash)) return true;
    }
    return false;
  }

  #insert(hash: Uint8Array, generation: number): boolean {
    for (let probe = 0; probe < probesMax; probe++) {
      const slot = this.#slot(hash, generation, probe);
      if (Atomics.compareExchange(this.#states, slot, emptySlot, writingSlot) === emptySlot) {
        this.#keys.set(hash, slot * this.#hashLength);
        Atomics.store(this.#states, slot, readySlot);
        return true;
      }
      this.#settled(slot);
      if (this.#equals(slot, hash)) return false;
    }
    return true;
  }

  /** The state once no other thread is writing the key; that takes nanoseconds. */
  #settled(slot: number): number {
    let state = Atomics.load(this.#states, slot);
    while (state === writingSlot) state = Atomics.load(this.#states, slot);
    return state;
  }

  #slot(hash: Uint8Array, generation: number, probe: number): number {
    const start = (hash[0]! | (hash[1]! << 8) | (hash[2]! << 16) | (hash[3]! << 24)) >>> 0;
    return generation * this.#slots + ((start + probe) % this.#slots);
  }

  #equals(slot: number, hash: Uint8Array): boolean {
    const start = slot * this.#hashLength;
    for (let index = 0; index < this.#hashLength; index++) {
      if (this.#keys[start + index] !== hash[index]) return false;
    }
    return true;
  }
}
