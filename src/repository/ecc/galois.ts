/**
 * The field GF(2^8) with the polynomial 0x11D, in which Reed-Solomon codes count: addition is XOR, multiplication goes
 * through logarithms to the base 2. Matrices are rows of bytes.
 */
import assert from 'node:assert/strict';

const polynomial = 0x11d;
const order = 255;

const exponents = new Uint8Array(2 * order);
const logarithms = new Uint8Array(256);
for (let power = 0, value = 1; power < order; power++) {
  exponents[power] = value;
  exponents[power + order] = value;
  logarithms[value] = power;
  value = value < 0x80 ? value << 1 : (value << 1) ^ polynomial;
}

export function multiply(a: number, b: number): number {
  return a === 0 || b === 0 ? 0 : exponents[logarithms[a]! + logarithms[b]!]!;
}

/** `base` to the power of `exponent`; 0 to the power of 0 is 1. */
export function power(base: number, exponent: number): number {
  if (exponent === 0) return 1;
  return base === 0 ? 0 : exponents[(logarithms[base]! * exponent) % order]!;
}

export type Matrix = readonly Uint8Array[];

export function multiplyMatrices(a: Matrix, b: Matrix): Uint8Array[] {
  const columns = b[0]!.length;
  return a.map((row) => {
    const product = new Uint8Array(columns);
    for (const [k, factor] of row.entries()) addMultiple(product, b[k]!, factor);
    return product;
  });
}

/**
 * The inverse of a square matrix, by Gauss and Jordan.
 * @returns undefined when it has none
 */
export function invert(matrix: Matrix): Uint8Array[] | undefined {
  const size = matrix.length;
  const rows = matrix.map((row, index) => {
    assert(row.length === size);
    const wide = new Uint8Array(2 * size);
    wide.set(row);
    wide[size + index] = 1;
    return wide;
  });
  for (let column = 0; column < size; column++) {
    const pivot = rows.findIndex((row, index) => index >= column && row[column] !== 0);
    if (pivot < 0) return undefined;
    [rows[column], rows[pivot]] = [rows[pivot]!, rows[column]!];
    const row = rows[column]!;
    const inverse = exponents[order - logarithms[row[column]!]!]!;
    for (let k = 0; k < row.length; k++) row[k] = multiply(row[k]!, inverse);
    for (const [index, other] of rows.entries()) {
      if (index !== column) addMultiple(other, row, other[column]!);
    }
  }
  return rows.map((row) => row.subarray(size));
}

function addMultiple(to: Uint8Array, row: Uint8Array, factor: number): void {
  if (factor === 0) return;
  for (let k = 0; k < to.length; k++) to[k]! ^= multiply(row[k]!, factor);
}
