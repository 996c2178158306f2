/** Unsigned LEB128 as Go's `encoding/binary` writes it, for values up to 2^53 - 1. */
import assert from 'node:assert/strict';

import { RepositoryError } from '../repository-error.ts';

/** 2^53 needs 8 groups of 7 bits. */
const uvarintBytesMax = 8;

/** The shortest encoding. */
export function encodeUvarint(value: number): Uint8Array {
  assert(Number.isSafeInteger(value) && value >= 0);
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 128) {
    bytes.push(128 + (rest % 128));
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

/**
 * Reads at `offset`.
 * @returns the value and the offset behind it.
 * @throws {RepositoryError} `corrupt` when the bytes end, are not the shortest encoding, or the value is too large.
 */
export function decodeUvarint(bytes: Uint8Array, offset: number): { readonly value: number; readonly end: number } {
  let value = 0;
  for (let at = 0; at < uvarintBytesMax; at++) {
    const byte = bytes[offset + at];
    if (byte === undefined) throw new RepositoryError('corrupt', 'a variable length integer is cut off');
    value += (byte % 128) * 128 ** at;
    if (byte >= 128) continue;
    if ((byte === 0 && at > 0) || !Number.isSafeInteger(value)) break;
    return { value, end: offset + at + 1 };
  }
  throw new RepositoryError('corrupt', 'a variable length integer is too long or too large');
}
