/**
 * LZ4 frames (LZ4 frame format 1.6.x and block format), which Kopia wrote until 0.22. Only reading. Every length is
 * checked before it is believed, so any bytes take time and memory in proportion to their own length and to the room for
 * the result.
 *
 *     frame:  magic (4) │ flags (1) │ block size (1) │ content size (8)? │ dictionary (4)? │ checksum of the header (1)
 *             blocks: length (4, LE; bit 31: not compressed), bytes, checksum (4)? │ 0 (4) │ checksum of the content (4)?
 *     block:  token, literals, distance (2, LE), and so on; the last sequence has literals only
 */
import { copyMatch } from './copy-match.ts';
import { xxh32 } from './xxh32.ts';

const magic = 0x184d2204;
const version = 1;
const notCompressed = 0x8000_0000;
/** A block holds at most 4 MiB, and stays as it is where compression makes it larger. */
const blockBytesMax = 4 * 1024 * 1024;

interface Frame {
  readonly headerBytes: number;
  readonly blockChecksums: boolean;
  readonly contentChecksum: boolean;
}

/** @returns the decoded length; undefined when the frame is damaged or does not fit into `out`, which then holds rubbish */
export function decompressLz4(frame: Uint8Array, out: Uint8Array): number | undefined {
  const header = readHeader(frame);
  if (header === undefined) return undefined;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  let at = header.headerBytes;
  let to = 0;
  for (;;) {
    if (at + 4 > frame.length) return undefined;
    const word = view.getUint32(at, true);
    at += 4;
    if (word === 0) break;
    const lengthBytes = word % notCompressed;
    const end = at + lengthBytes;
    if (lengthBytes > blockBytesMax || end + (header.blockChecksums ? 4 : 0) > frame.length) return undefined;
    const block = frame.subarray(at, end);
    if (header.blockChecksums && xxh32(block) !== view.getUint32(end, true)) return undefined;
    const next = word >= notCompressed ? copyBlock(block, out, to) : decodeBlock(block, out, to);
    if (next === undefined) return undefined;
    to = next;
    at = end + (header.blockChecksums ? 4 : 0);
  }
  if (!header.contentChecksum) return to;
  if (at + 4 > frame.length || xxh32(out.subarray(0, to)) !== view.getUint32(at, true)) return undefined;
  return to;
}

function readHeader(frame: Uint8Array): Frame | undefined {
  if (frame.length < 7) return undefined;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const flags = frame[4]!;
  const hasDictionary = (flags & 0x01) !== 0;
  const hasReserved = (flags & 0x02) !== 0;
  if (view.getUint32(0, true) !== magic || flags >> 6 !== version || hasDictionary || hasReserved) return undefined;
  const descriptorEnd = 6 + ((flags & 0x08) !== 0 ? 8 : 0);
  if (descriptorEnd >= frame.length) return undefined;
  if (((xxh32(frame.subarray(4, descriptorEnd)) >>> 8) & 0xff) !== frame[descriptorEnd]) return undefined;
  return {
    headerBytes: descriptorEnd + 1,
    blockChecksums: (flags & 0x10) !== 0,
    contentChecksum: (flags & 0x04) !== 0,
  };
}

function copyBlock(block: Uint8Array, out: Uint8Array, to: number): number | undefined {
  if (to + block.length > out.length) return undefined;
  out.set(block, to);
  return to + block.length;
}

/** Writes from `start` on; matches may reach back into the blocks before. @returns where it ends */
function decodeBlock(block: Uint8Array, out: Uint8Array, start: number): number | undefined {
  let from = 0;
  let to = start;
  while (from < block.length) {
    const token = block[from]!;
    const literals = readLength(block, from + 1, token >> 4);
    if (literals === undefined) return undefined;
    from = literals.next;
    if (from + literals.length > block.length || to + literals.length > out.length) return undefined;
    out.set(block.subarray(from, from + literals.length), to);
    from += literals.length;
    to += literals.length;
    if (from === block.length) return to;
    if (from + 2 > block.length) return undefined;
    const distance = block[from]! | (block[from + 1]! << 8);
    const match = readLength(block, from + 2, token & 15);
    if (match === undefined || distance === 0 || distance > to) return undefined;
    const length = match.length + 4;
    if (to + length > out.length) return undefined;
    copyMatch(out, to, { distance, length });
    from = match.next;
    to += length;
  }
  // A block ends with literals.
  return undefined;
}

/** Four bits, and when all of them are set, bytes that are added up to the first below 255. */
function readLength(
  block: Uint8Array,
  at: number,
  nibble: number,
): { readonly length: number; readonly next: number } | undefined {
  let length = nibble;
  if (nibble < 15) return { length, next: at };
  for (let next = at; next < block.length;) {
    const byte = block[next++]!;
    length += byte;
    if (byte < 255) return { length, next };
  }
  return undefined;
}
