/**
 * Writes S2 streams (layout in `s2.ts`): greedy matches of four bytes and more, found through a table of where each hash was
 * seen last, as Snappy's encoder does; long matches are said with S2's repeats. What does not shrink is stored.
 */
import { crc32c } from './crc32c.ts';
import { maskedCrc, s2Chunk } from './s2.ts';

/** Kopia's own; decoders take up to 4 MiB. */
const blockBytesMax = 1024 * 1024;
const identifier = Buffer.from('\xff\x06\x00\x00S2sTwO', 'latin1');
/** Type, length, checksum. */
const chunkHeadBytes = 8;
const tableBits = 15;
/** Positions, plus one, in the block at hand. */
const table = new Int32Array(1 << tableBits);
/** The last bytes of a block are literals: a hash takes four, and a match would bring little. */
const tailBytes = 16;
/** After each so many bytes without a match, steps become longer. */
const skipShift = 5;
const matchBytesMin = 4;
const copyBytesMax = 64;

/** @returns the length of the stream at the beginning of `out`; undefined, with rubbish in `out`, when it does not fit */
export function compressS2(plain: Uint8Array, out: Uint8Array): number | undefined {
  if (out.length < identifier.length) return undefined;
  out.set(identifier);
  let to = identifier.length;
  for (let from = 0; from < plain.length; from += blockBytesMax) {
    const length = encodeChunk(plain.subarray(from, from + blockBytesMax), out.subarray(to));
    if (length === undefined) return undefined;
    to += length;
  }
  return to;
}

function encodeChunk(block: Uint8Array, out: Uint8Array): number | undefined {
  if (out.length < chunkHeadBytes) return undefined;
  const room = out.subarray(chunkHeadBytes, chunkHeadBytes + block.length);
  const encoded = new BlockEncoder(block, room).encode();
  if (encoded === undefined) {
    if (room.length < block.length) return undefined;
    room.set(block);
  }
  const lengthBytes = encoded ?? block.length;
  const view = new DataView(out.buffer, out.byteOffset);
  view.setUint32(0, ((lengthBytes + 4) << 8) | (encoded === undefined ? s2Chunk.raw : s2Chunk.compressed), true);
  view.setUint32(4, maskedCrc(crc32c(block)), true);
  return chunkHeadBytes + lengthBytes;
}

class BlockEncoder {
  readonly #block: Uint8Array;
  readonly #out: Uint8Array;
  #to = 0;
  #full = false;

  constructor(block: Uint8Array, out: Uint8Array) {
    this.#block = block;
    this.#out = out;
  }

  /** @returns the encoded length; undefined when there is no room for it */
  encode(): number | undefined {
    const block = this.#block;
    for (let rest = block.length; ; rest >>>= 7) {
      this.#byte(rest < 0x80 ? rest : (rest & 0x7f) | 0x80);
      if (rest < 0x80) break;
    }
    table.fill(0);
    let literal = 0;
    const last = block.length - tailBytes;
    for (let at = 1, skipped = 0; at < last && !this.#full;) {
      const slot = hashAt(block, at);
      const candidate = table[slot]! - 1;
      table[slot] = at + 1;
      if (candidate < 0 || !isEqual4(block, candidate, at)) {
        at += 1 + (skipped >> skipShift);
        skipped += 1;
        continue;
      }
      const length = matchLength(block, candidate, at);
      this.#literal(literal, at);
      this.#copy(at - candidate, length);
      at += length;
      literal = at;
      skipped = 0;
      if (at < last) table[hashAt(block, at - 1)] = at;
    }
    this.#literal(literal, block.length);
    return this.#full ? undefined : this.#to;
  }

  #literal(from: number, to: number): void {
    const length = to - from;
    if (length === 0) return;
    const less = length - 1;
    const extra = less < 60 ? 0 : less < 0x100 ? 1 : less < 0x1_0000 ? 2 : 3;
    if (this.#to + 1 + extra + length > this.#out.length) {
      this.#full = true;
      return;
    }
    this.#byte((extra === 0 ? less : 59 + extra) << 2);
    this.#bytes(less, extra);
    this.#out.set(this.#block.subarray(from, to), this.#to);
    this.#to += length;
  }

  #copy(distance: number, length: number): void {
    // What is left for a repeat is nothing, or enough for one.
    const rest = length - copyBytesMax;
    const first = rest <= 0 ? length : rest < matchBytesMin ? copyBytesMax - matchBytesMin : copyBytesMax;
    if (first < 12 && distance < 0x800) {
      this.#byte(((distance >> 8) << 5) | ((first - 4) << 2) | 1);
      this.#byte(distance & 0xff);
    } else if (distance < 0x1_0000) {
      this.#byte(((first - 1) << 2) | 2);
      this.#bytes(distance, 2);
    } else {
      this.#byte(((first - 1) << 2) | 3);
      this.#bytes(distance, 4);
    }
    if (first < length) this.#repeat(length - first);
  }

  /** The distance of before once more; 4 bytes to 16 MiB. */
  #repeat(length: number): void {
    const extra = length <= 8 ? 0 : length < 8 + 0x100 ? 1 : length < 260 + 0x1_0000 ? 2 : 3;
    const base = [4, 8, 260, 65_540][extra]!;
    this.#byte(((extra === 0 ? length - base : 4 + extra) << 2) | 1);
    this.#byte(0);
    this.#bytes(extra === 0 ? 0 : length - base, extra);
  }

  #byte(value: number): void {
    if (this.#to < this.#out.length) this.#out[this.#to++] = value;
    else this.#full = true;
  }

  /** The lower `count` bytes, the lowest first. */
  #bytes(value: number, count: number): void {
    for (let n = 0; n < count; n++) this.#byte((value >>> (8 * n)) & 0xff);
  }
}

function hashAt(block: Uint8Array, at: number): number {
  const word = block[at]! | (block[at + 1]! << 8) | (block[at + 2]! << 16) | (block[at + 3]! << 24);
  return Math.imul(word, 0x1e35_a7bd) >>> (32 - tableBits);
}

function isEqual4(block: Uint8Array, a: number, b: number): boolean {
  return (
    block[a] === block[b] &&
    block[a + 1] === block[b + 1] &&
    block[a + 2] === block[b + 2] &&
    block[a + 3] === block[b + 3]
  );
}

function matchLength(block: Uint8Array, candidate: number, at: number): number {
  let length = matchBytesMin;
  while (at + length < block.length && block[candidate + length] === block[at + length]) length++;
  return length;
}
