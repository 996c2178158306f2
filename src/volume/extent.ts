/**
 * Positions and ranges in a volume. Offsets are plain numbers, safe below 8 PiB; bit operators are never used on them.
 * An extent list is *normal* when it is sorted, its members do not touch or overlap, and none is empty.
 */
import assert from 'node:assert/strict';

declare const unit: unique symbol;

/** Position in a volume, in bytes from its start. A safe integer. */
export type ByteOffset = number & { readonly [unit]: 'ByteOffset' };

export function byteOffset(value: number | bigint): ByteOffset {
  const bytes = Number(value);
  assert(Number.isSafeInteger(bytes) && bytes >= 0, `not a byte offset: ${value}`);
  return bytes as ByteOffset;
}

/** A range of a volume, `offset` inclusive, `offset + lengthBytes` exclusive. */
export interface Extent {
  readonly offset: ByteOffset;
  readonly lengthBytes: number;
}

export function extent(offset: number, lengthBytes: number): Extent {
  assert(Number.isSafeInteger(lengthBytes) && lengthBytes >= 0, `not a length: ${lengthBytes}`);
  assert(Number.isSafeInteger(offset + lengthBytes), `extent ends past 2^53: ${offset}+${lengthBytes}`);
  return { offset: byteOffset(offset), lengthBytes };
}

export function extentEnd(range: Extent): number {
  return range.offset + range.lengthBytes;
}
