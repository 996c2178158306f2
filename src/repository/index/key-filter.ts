/**
 * A small filter of fingerprints: says for most keys that a table does not have them, without a read. Keys are hashes
 * already, so their own bytes are the fingerprints. It is a Bloom filter whose three bits of a key share one line of
 * 64 bytes, 12 bits a key (1.5 MB for a million), about 2 % false positives; in shared memory, so that workers use it
 * without a copy. Built while the table's checksum is verified, never stored.
 */
const bitsPerKey = 12;
const wordsPerLine = 16;
/** Prefix byte and eight bytes of hash. */
const keySizeMin = 9;

export class KeyFilter {
  readonly memory: SharedArrayBuffer;
  readonly #words: Uint32Array;
  readonly #lines: number;

  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.#words = new Uint32Array(memory);
    this.#lines = this.#words.length / wordsPerLine;
  }

  /** A filter for `count` keys; undefined when the keys are too short to be fingerprints. */
  static allocate({ count, keySize }: { readonly count: number; readonly keySize: number }): KeyFilter | undefined {
    if (keySize < keySizeMin) return undefined;
    const lines = Math.max(1, Math.ceil((count * bitsPerKey) / (wordsPerLine * 32)));
    return new KeyFilter(new SharedArrayBuffer(lines * wordsPerLine * 4));
  }

  /** Adds `count` keys that stand `stride` bytes apart. */
  addAll(bytes: Uint8Array, { count, stride }: { readonly count: number; readonly stride: number }): void {
    const words = this.#words;
    for (let at = 0, n = 0; n < count; n++, at += stride) {
      const line = this.#line(bytes, at);
      const bits = fingerprint(bytes, at);
      words[line + (bits & 15)]! |= 1 << ((bits >>> 4) & 31);
      words[line + ((bits >>> 9) & 15)]! |= 1 << ((bits >>> 13) & 31);
      words[line + ((bits >>> 18) & 15)]! |= 1 << ((bits >>> 22) & 31);
    }
  }

  /** False: the key is certainly not in the table. */
  mayHave(key: Uint8Array): boolean {
    const words = this.#words;
    const line = this.#line(key, 0);
    const bits = fingerprint(key, 0);
    return (
      ((words[line + (bits & 15)]! >>> ((bits >>> 4) & 31)) &
        (words[line + ((bits >>> 9) & 15)]! >>> ((bits >>> 13) & 31)) &
        (words[line + ((bits >>> 18) & 15)]! >>> ((bits >>> 22) & 31)) &
        1) ===
      1
    );
  }

  #line(key: Uint8Array, at: number): number {
    const high = key[at + 1]! * 2 ** 24 + ((key[at + 2]! << 16) | (key[at + 3]! << 8) | key[at + 4]!);
    return Math.floor((high / 2 ** 32) * this.#lines) * wordsPerLine;
  }
}

/** The prefix is part of it: the same bytes may be a content and a manifest. */
function fingerprint(key: Uint8Array, at: number): number {
  return ((key[at + 5]! << 24) | (key[at + 6]! << 16) | (key[at + 7]! << 8) | key[at + 8]!) ^ (key[at]! * 0x9e37);
}
