/**
 * S2 streams as Kopia writes them (klauspost/compress `s2`): the framing of Snappy around blocks of Snappy, which may in
 * addition repeat the last distance. Every length is checked before it is believed, so any bytes take time and memory
 * in proportion to their own length and to the room for the result.
 *
 *     chunk:  type (1) │ length of the body (3, LE) │ body
 *     body:   masked CRC-32C of the decoded bytes (4, LE) │ block, or the bytes themselves
 *     block:  uvarint decoded length │ literals and copies
 */
import { copyMatch } from './copy-match.ts';
import { crc32c } from './crc32c.ts';

/** What the types of chunks with data are. */
export const s2Chunk = { compressed: 0x00, raw: 0x01 } as const;
const chunkIdentifier = 0xff;
/** From here on a decoder may pass over what it does not know. */
const chunkSkippable = 0x80;
const identifiers: readonly string[] = ['S2sTwO', 'sNaPpY'];
/** More would not fit into 32 bits. */
const uvarintBytesMax = 5;

/** @returns the decoded length; undefined when the stream is damaged or does not fit into `out`, which then holds rubbish */
export function decompressS2(stream: Uint8Array, out: Uint8Array): number | undefined {
  let done = 0;
  for (let at = 0; at < stream.length;) {
    if (at + 4 > stream.length) return undefined;
    const type = stream[at]!;
    const end = at + 4 + littleEndian(stream, at + 1, 3);
    if (end > stream.length) return undefined;
    const body = stream.subarray(at + 4, end);
    if (type === chunkIdentifier) {
      if (!identifiers.includes(String.fromCharCode(...body.subarray(0, 16)))) return undefined;
    } else if (at === 0) {
      return undefined;
    } else if (type === s2Chunk.compressed || type === s2Chunk.raw) {
      const length = decodeChunk(type, body, out.subarray(done));
      if (length === undefined) return undefined;
      done += length;
    } else if (type < chunkSkippable) {
      return undefined;
    }
    at = end;
  }
  return stream.length === 0 ? undefined : done;
}

function decodeChunk(type: number, body: Uint8Array, out: Uint8Array): number | undefined {
  if (body.length < 4) return undefined;
  const data = body.subarray(4);
  let length: number | undefined;
  if (type === s2Chunk.compressed) {
    length = decodeBlock(data, out);
  } else if (data.length <= out.length) {
    out.set(data);
    length = data.length;
  }
  if (length === undefined || maskedCrc(crc32c(out.subarray(0, length))) !== littleEndian(body, 0, 4)) return undefined;
  return length;
}

/** So that a CRC of data that holds CRCs is no weaker (Snappy framing, section 3). */
export function maskedCrc(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

function decodeBlock(block: Uint8Array, out: Uint8Array): number | undefined {
  const header = readLength(block);
  if (header === undefined || header.length > out.length) return undefined;
  const { length: size } = header;
  let from = header.bytes;
  let to = 0;
  let distance = 0;
  while (from < block.length) {
    const element = readElement(block, from);
    if (element === undefined || to + element.length > size) return undefined;
    from = element.next;
    if (element.distance === undefined) {
      if (from + element.length > block.length) return undefined;
      out.set(block.subarray(from, from + element.length), to);
      from += element.length;
    } else {
      if (element.distance !== repeated) distance = element.distance;
      if (distance === 0 || distance > to) return undefined;
      copyMatch(out, to, { distance, length: element.length });
    }
    to += element.length;
  }
  return to === size ? size : undefined;
}

/** In place of a distance: the one before. */
const repeated = 0;

interface Element {
  readonly length: number;
  /** Of a copy; undefined is a literal, whose bytes follow at `next`. */
  readonly distance: number | undefined;
  readonly next: number;
}

function readElement(block: Uint8Array, at: number): Element | undefined {
  const tag = block[at]!;
  const upper = tag >> 2;
  const kind = tag & 3;
  // Literals below 61 bytes have their length in the tag, longer ones in the one to four bytes that follow.
  const extra = kind === 0 ? Math.max(0, upper - 59) : kind === 3 ? 4 : kind;
  const next = at + 1 + extra;
  if (next > block.length) return undefined;
  if (kind === 0)
    return { length: (extra === 0 ? upper : littleEndian(block, at + 1, extra)) + 1, distance: undefined, next };
  if (kind === 1) {
    const distance = ((tag & 0xe0) << 3) | block[at + 1]!;
    return distance === 0 ? readRepeat(block, at) : { length: (upper & 7) + 4, distance, next };
  }
  const distance = littleEndian(block, at + 1, extra);
  // A long copy cannot say "the one before": 0 is damage.
  return distance === 0 ? undefined : { length: upper + 1, distance, next };
}

/** S2's own: a copy of kind 1 with distance 0. */
function readRepeat(block: Uint8Array, at: number): Element | undefined {
  const short = (block[at]! >> 2) & 7;
  const extra = Math.max(0, short - 4);
  const next = at + 2 + extra;
  if (next > block.length) return undefined;
  const base = [short + 4, 8, 260, 65_540][extra]!;
  return { length: base + littleEndian(block, at + 2, extra), distance: repeated, next };
}

function readLength(block: Uint8Array): { readonly length: number; readonly bytes: number } | undefined {
  let length = 0;
  for (let at = 0; at < Math.min(uvarintBytesMax, block.length); at++) {
    const byte = block[at]!;
    length += (byte & 0x7f) * 2 ** (7 * at);
    if (byte < 0x80) return { length, bytes: at + 1 };
  }
  return undefined;
}

/** Up to four bytes. */
function littleEndian(bytes: Uint8Array, at: number, count: number): number {
  let value = 0;
  for (let n = 0; n < count; n++) value += bytes[at + n]! * 2 ** (8 * n);
  return value;
}
