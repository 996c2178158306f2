/**
 * How many bytes the index places in each pack, for a repository of any number of packs: a table of 16 bytes a slot
 * instead of names. A pack is known by 64 bits of its name. Two that share them are taken for one, with the bytes of
 * both: such a pack counts as in use, or as fuller than it is, so that at worst something is kept that could have gone.
 */
const slotsMin = 1024;
/** Of the slots, in use at most; then the table grows by half. */
const loadMax = 0.75;

export class PackUsage {
  #slots = slotsMin;
  #keys = new Uint32Array(slotsMin * 2);
  #bytes = new Float64Array(slotsMin);
  #count = 0;

  /** Packs that were added. */
  get count(): number {
    return this.#count;
  }

  /** @param bytes not negative */
  add(pack: string, bytes: number): void {
    const at = this.#find(...fingerprint(pack));
    if (at < 0) this.#insert(~at, fingerprint(pack), bytes);
    else this.#bytes[at]! += bytes;
  }

  /** What was added for the pack; undefined when nothing was. */
  bytesIn(pack: string): number | undefined {
    const at = this.#find(...fingerprint(pack));
    return at < 0 ? undefined : this.#bytes[at];
  }

  /** Packs of which less than this was added. */
  countBelow(bytesMax: number): number {
    let count = 0;
    for (let at = 0; at < this.#slots; at++) if (this.#isTaken(at) && this.#bytes[at]! < bytesMax) count++;
    return count;
  }

  /** The slot of a key; the complement of the free one where it would stand when there is none. */
  #find(high: number, low: number): number {
    let at = high % this.#slots;
    while (this.#isTaken(at)) {
      if (this.#keys[at * 2] === high && this.#keys[at * 2 + 1] === low) return at;
      at = at + 1 === this.#slots ? 0 : at + 1;
    }
    return ~at;
  }

  #isTaken(at: number): boolean {
    return this.#keys[at * 2] !== 0 || this.#keys[at * 2 + 1] !== 0;
  }

  #insert(at: number, [high, low]: readonly [number, number], bytes: number): void {
    this.#keys[at * 2] = high;
    this.#keys[at * 2 + 1] = low;
    this.#bytes[at] = bytes;
    if (++this.#count > this.#slots * loadMax) this.#grow();
  }

  #grow(): void {
    const [keys, bytes, slots] = [this.#keys, this.#bytes, this.#slots];
    this.#slots = Math.ceil(slots * 1.5);
    this.#keys = new Uint32Array(this.#slots * 2);
    this.#bytes = new Float64Array(this.#slots);
    this.#count = 0;
    for (let at = 0; at < slots; at++) {
      const [high, low] = [keys[at * 2]!, keys[at * 2 + 1]!];
      if (high !== 0 || low !== 0) this.#insert(~this.#find(high, low), [high, low], bytes[at]!);
    }
  }
}

/** Two different hashes of the name (FNV-1a, and one of the kind of MurmurHash2), never both zero. */
export function fingerprint(name: string): readonly [high: number, low: number] {
  let high = 0x811c9dc5;
  let low = 0x9747b28c ^ name.length;
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    high = Math.imul(high ^ code, 0x01000193);
    low = Math.imul(low ^ code, 0x5bd1e995);
    low ^= low >>> 15;
  }
  return [high >>> 0, low >>> 0 || 1];
}
