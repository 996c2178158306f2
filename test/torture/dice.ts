/** Everything that a seed decides: numbers, choices, and the bytes that are written. */
import { createCipheriv } from 'node:crypto';
import { seededRng, type Rng } from '../../src/std/rng.ts';

const noiseBytes = 4 * 1024 * 1024;

export class Dice {
  readonly #rng: Rng;
  readonly #noise: Buffer;
  /** Letters a to p: half as long when it is compressed. */
  readonly #text: Buffer;

  constructor(seed: number) {
    this.#rng = seededRng(seed);
    const key = Buffer.alloc(16);
    key.writeUInt32LE(seed >>> 0);
    this.#noise = createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(noiseBytes));
    this.#text = Buffer.from(this.#noise.map((byte) => 97 + (byte & 15)));
  }

  /** A whole number from 0 on, `end` exclusive. */
  below(end: number): number {
    return Math.floor(this.#rng.uniform() * end);
  }

  /** Both inclusive. */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1);
  }

  chance(share: number): boolean {
    return this.#rng.uniform() < share;
  }

  pick<T>(list: readonly T[]): T {
    const picked = list[this.below(list.length)];
    if (picked === undefined) throw new Error('nothing to pick from');
    return picked;
  }

  /** Bytes that are not there yet, but by a chance of one in millions; read only. */
  bytes(lengthBytes: number): Buffer {
    const from = this.below(noiseBytes - lengthBytes);
    return (this.chance(0.5) ? this.#noise : this.#text).subarray(from, from + lengthBytes);
  }

  /** A range within `sizeBytes`, both ends multiples of `unit`. */
  range(
    sizeBytes: number,
    { unit, most }: { readonly unit: number; readonly most: number },
  ): {
    readonly offset: number;
    readonly lengthBytes: number;
  } {
    const units = Math.floor(sizeBytes / unit);
    const length = this.between(1, Math.min(units, Math.floor(most / unit)));
    return { offset: this.below(units - length + 1) * unit, lengthBytes: length * unit };
  }
}
