/**
 * A systematic Reed-Solomon code: `parity` shards from `data` shards of one length, so that any `data` of all of them give
 * back the rest. Rows of the Vandermonde matrix `V[r][c] = r^c`, made systematic by the inverse of its top square, as
 * in the library that Kopia uses (`github.com/klauspost/reedsolomon`).
 *
 * Products of four rows are looked up together, in one table of 256 words for each column: that is what makes it bearable.
 */
import assert from 'node:assert/strict';

import { invert, multiply, multiplyMatrices, power, type Matrix } from './galois.ts';

export interface CodeShape {
  readonly dataShards: number;
  readonly parityShards: number;
}

/** A product of a fixed matrix with shards: `outputs` shards from `inputs` shards. */
class ShardProduct {
  readonly #inputs: number;
  readonly #outputs: number;
  /** For each group of four rows, for each column, for each byte: the four products, the first row's in the lowest byte. */
  readonly #tables: readonly Uint32Array[];

  constructor(matrix: Matrix) {
    this.#outputs = matrix.length;
    this.#inputs = matrix[0]?.length ?? 0;
    const tables: Uint32Array[] = [];
    for (let first = 0; first < matrix.length; first += 4) {
      const table = new Uint32Array(this.#inputs * 256);
      for (const [lane, row] of matrix.slice(first, first + 4).entries()) {
        for (const [column, factor] of row.entries()) {
          for (let byte = 0; byte < 256; byte++) table[column * 256 + byte]! |= multiply(factor, byte) << (8 * lane);
        }
      }
      tables.push(table);
    }
    this.#tables = tables;
  }

  /** @param shards one after the other, `inputs` of them @param out likewise, `outputs` of them */
  apply(shards: Uint8Array, shardBytes: number, out: Uint8Array): void {
    assert(shards.length === this.#inputs * shardBytes && out.length === this.#outputs * shardBytes);
    const sums = new Uint32Array(shardBytes);
    for (const [group, table] of this.#tables.entries()) {
      sums.fill(0);
      for (let column = 0; column < this.#inputs; column++) {
        const from = column * shardBytes;
        const row = column * 256;
        for (let at = 0; at < shardBytes; at++) sums[at]! ^= table[row + shards[from + at]!]!;
      }
      const lanes = Math.min(4, this.#outputs - group * 4);
      for (let lane = 0; lane < lanes; lane++) {
        const to = (group * 4 + lane) * shardBytes;
        for (let at = 0; at < shardBytes; at++) out[to + at] = sums[at]! >>> (8 * lane);
      }
    }
  }
}

export class ReedSolomon {
  readonly shape: CodeShape;
  /** All rows: the identity, then those of the parity shards. */
  readonly #rows: Matrix;
  readonly #encode: ShardProduct;

  constructor(shape: CodeShape) {
    const { dataShards, parityShards } = shape;
    assert(dataShards > 0 && parityShards > 0 && dataShards + parityShards <= 256);
    this.shape = shape;
    const vandermonde = Array.from({ length: dataShards + parityShards }, (_, row) =>
      Uint8Array.from({ length: dataShards }, (__, column) => power(row, column)),
    );
    const top = invert(vandermonde.slice(0, dataShards));
    assert(top !== undefined, 'a Vandermonde matrix of different rows has an inverse');
    this.#rows = multiplyMatrices(vandermonde, top);
    this.#encode = new ShardProduct(this.#rows.slice(dataShards));
  }

  /** @param data all data shards, one after the other @param parity where the parity shards go, likewise */
  encode(data: Uint8Array, shardBytes: number, parity: Uint8Array): void {
    this.#encode.apply(data, shardBytes, parity);
  }

  /**
   * Computes lost data shards, in place.
   * @param lost their numbers, and those of lost parity shards counted on from the data shards
   * @returns false when too many are lost
   */
  restore(data: Uint8Array, parity: Uint8Array, shardBytes: number, lost: ReadonlySet<number>): boolean {
    const { dataShards, parityShards } = this.shape;
    const kept: number[] = [];
    for (let shard = 0; shard < dataShards + parityShards && kept.length < dataShards; shard++) {
      if (!lost.has(shard)) kept.push(shard);
    }
    if (kept.length < dataShards) return false;
    const wanted = [...lost].filter((shard) => shard < dataShards);
    if (wanted.length === 0) return true;
    const inverse = invert(kept.map((shard) => this.#rows[shard]!));
    if (inverse === undefined) return false;
    const input = new Uint8Array(dataShards * shardBytes);
    for (const [index, shard] of kept.entries()) {
      const [from, number] = shard < dataShards ? [data, shard] : [parity, shard - dataShards];
      input.set(from.subarray(number * shardBytes, (number + 1) * shardBytes), index * shardBytes);
    }
    const output = new Uint8Array(wanted.length * shardBytes);
    new ShardProduct(wanted.map((shard) => inverse[shard]!)).apply(input, shardBytes, output);
    for (const [index, shard] of wanted.entries()) {
      data.set(output.subarray(index * shardBytes, (index + 1) * shardBytes), shard * shardBytes);
    }
    return true;
  }
}
