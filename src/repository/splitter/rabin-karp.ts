/**
 * Kopia's 64-bit Rabin fingerprint (`github.com/chmduquesne/rollinghash/rabinkarp64`): the window as a polynomial over GF(2), modulo an irreducible one
 * of degree 53. What goes out is taken off, the rest moves up by a byte, and what has grown beyond the degree is folded back.
 */
import { lines, op } from './wasm-module.ts';
import { type RollingHash, windowBytes } from './rolling-kernel.ts';

/** Go's `RandomPolynomial`, seed 1. */
const polynomial = 0x2e3e3e4a305605n;
const degree = 53n;
const foldedAt = 256 * 8;

const entryAt = (offset: number) => [op.i32Const(3), op.i32Shl, op.i64Load(offset)];

export const rabinKarp: RollingHash = {
  state: 'i64',
  tables: tables(),
  step: ({ base, scratch }) =>
    lines(
      [base, op.i32Load8(0), ...entryAt(0), op.i64Xor],
      [op.set(scratch), op.get(scratch), op.i64Const(8), op.i64Shl, base, op.i64Load8(windowBytes), op.i64Or],
      [op.get(scratch), op.i64Const(45), op.i64ShrU, op.i32Wrap, op.i32Const(255), op.i32And],
      [...entryAt(foldedAt), op.i64Xor],
    ),
};

/** What each byte is worth when it goes out, and what the eight bits above the degree become. */
function tables(): Uint8Array {
  const bytes = Buffer.alloc(2 * foldedAt);
  for (let byte = 0; byte < 256; byte += 1) {
    const value = BigInt(byte);
    bytes.writeBigUInt64LE(remainder(value << BigInt(8 * (windowBytes - 1))), byte * 8);
    bytes.writeBigUInt64LE(BigInt.asUintN(64, remainder(value << degree) | (value << degree)), foldedAt + byte * 8);
  }
  return bytes;
}

function remainder(value: bigint): bigint {
  let rest = value;
  for (let at = BigInt(value.toString(2).length) - 1n; at >= degree; at -= 1n) {
    if (((rest >> at) & 1n) === 1n) rest ^= polynomial << (at - degree);
  }
  return rest;
}
