/**
 * Index version 2 (Kopia `repo/content/index/index_v2.go`). The value of an entry has 16 to 19 bytes: the shortest that
 * can say what the entries need. Readers add `baseTimestamp`; no writer is known to use it.
 */
import { RepositoryError } from '../repository-error.ts';
import { chunkBytes, type IndexShape } from './index-shape.ts';
import type { IndexCursor } from './index-cursor.ts';
import type { EntryFormat, IndexLayout, IndexValue } from './index-layout.ts';

const headerBytes = 17;
const valueBytesMin = 16;
const valueBytesMax = 19;
const keySizeMax = 33;
export const packRecordBytes = 5;
export const formatRecordBytes = 6;

/** @throws {RepositoryError} `corrupt` */
export function parseLayoutV2(head: Uint8Array, indexBytes: number): IndexLayout {
  if (indexBytes < headerBytes || head.length < headerBytes) throw corrupt('shorter than its header');
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const keySize = view.getUint8(1);
  const valueBytes = view.getUint16(2);
  const count = view.getUint32(4);
  const packCount = view.getUint32(8);
  const formatCount = view.getUint8(12);
  if (keySize < 2 || keySize > keySizeMax) throw corrupt(`with keys of ${keySize} bytes`);
  if (valueBytes < valueBytesMin || valueBytes > valueBytesMax) throw corrupt(`with values of ${valueBytes} bytes`);
  const stride = keySize + valueBytes;
  const packsAt = headerBytes + count * stride;
  const formatsAt = packsAt + packCount * packRecordBytes;
  if (formatsAt + formatCount * formatRecordBytes > indexBytes) {
    throw corrupt(`of ${count} entries, ${packCount} packs and ${formatCount} formats in ${indexBytes} bytes`);
  }
  return {
    version: 2,
    indexBytes,
    keySize,
    stride,
    count,
    entriesAt: headerBytes,
    packsAt,
    packCount,
    formatsAt,
    formatCount,
    baseTimestampSeconds: view.getUint32(13),
  };
}

export function decodeValueV2(layout: IndexLayout, bytes: Uint8Array, at: number, into: IndexValue): void {
  const size = layout.stride - layout.keySize;
  const lengthsHigh = size > 18 ? bytes[at + 18]! : 0;
  into.timestampSeconds =
    layout.baseTimestampSeconds +
    bytes[at]! * 2 ** 24 +
    ((bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!);
  into.deleted = bytes[at + 4]! >= 0x80;
  into.packOffset = ((bytes[at + 4]! & 0x7f) << 24) | (bytes[at + 5]! << 16) | (bytes[at + 6]! << 8) | bytes[at + 7]!;
  into.originalLength = ((lengthsHigh >> 4) << 24) | (bytes[at + 8]! << 16) | (bytes[at + 9]! << 8) | bytes[at + 10]!;
  into.packedLength = ((lengthsHigh & 0xf) << 24) | (bytes[at + 11]! << 16) | (bytes[at + 12]! << 8) | bytes[at + 13]!;
  into.pack = ((size > 17 ? bytes[at + 17]! : 0) << 16) | (bytes[at + 14]! << 8) | bytes[at + 15]!;
  into.format = size > 16 ? bytes[at + 16]! : 0;
}

/** @param records the format table, whole records */
export function decodeFormats(records: Uint8Array): EntryFormat[] {
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  return Array.from({ length: Math.floor(records.length / formatRecordBytes) }, (_, i) => ({
    compression: view.getUint32(i * formatRecordBytes),
    formatVersion: view.getUint8(i * formatRecordBytes + 4),
    encryptionKeyId: view.getUint8(i * formatRecordBytes + 5),
  }));
}

/** The shortest value that can say all that the entries need. */
export function valueBytesFor(shape: IndexShape): number {
  if (shape.lengthMax >= 2 ** 24) return 19;
  if (shape.packs.size > 65_536) return 18;
  return shape.formats.size > 1 ? 17 : 16;
}

/** The whole index in pieces; each is a view that is overwritten by the next. */
export function* encodeV2(shape: IndexShape, cursor: IndexCursor): Generator<Buffer> {
  const { keySize } = shape;
  const valueBytes = valueBytesFor(shape);
  const stride = keySize + valueBytes;
  const chunk = Buffer.alloc(chunkBytes);
  chunk.set([2, keySize, 0, valueBytes]);
  chunk.writeUInt32BE(shape.count, 4);
  chunk.writeUInt32BE(shape.packs.size, 8);
  chunk[12] = shape.formats.size;
  let used = headerBytes;
  while (cursor.next()) {
    if (used + stride > chunk.length) {
      yield chunk.subarray(0, used);
      used = 0;
    }
    used += cursor.key.copy(chunk, used, cursor.keyAt, cursor.keyAt + keySize);
    const format = shape.formats.get(shape.formatKey(cursor.format()))!;
    encodeValue(chunk.subarray(used, used + valueBytes), cursor.value, shape.packs.get(cursor.packName())!, format);
    used += valueBytes;
  }
  yield chunk.subarray(0, used);
  yield encodeTables(shape, headerBytes + shape.count * stride);
}

function encodeValue(into: Buffer, value: IndexValue, pack: number, format: number): void {
  const { timestampSeconds, packOffset, originalLength, packedLength } = value;
  into.writeUInt32BE(timestampSeconds, 0);
  into.writeUInt32BE(packOffset + (value.deleted ? 2 ** 31 : 0), 4);
  into.writeUIntBE(originalLength & 0xffffff, 8, 3);
  into.writeUIntBE(packedLength & 0xffffff, 11, 3);
  into.writeUInt16BE(pack & 0xffff, 14);
  if (into.length > 16) into[16] = format;
  if (into.length > 17) into[17] = pack >>> 16;
  if (into.length > 18) into[18] = ((originalLength >>> 24) << 4) | (packedLength >>> 24);
}

function encodeTables(shape: IndexShape, packsAt: number): Buffer {
  const packBytes = shape.packs.size * packRecordBytes;
  const names = Buffer.from([...shape.packs.keys()].join(''), 'latin1');
  const tables = Buffer.alloc(packBytes + shape.formats.size * formatRecordBytes + names.length);
  let nameAt = packBytes + shape.formats.size * formatRecordBytes;
  names.copy(tables, nameAt);
  let at = 0;
  for (const name of shape.packs.keys()) {
    tables[at] = name.length;
    tables.writeUInt32BE(packsAt + nameAt, at + 1);
    nameAt += name.length;
    at += packRecordBytes;
  }
  for (const { compression, formatVersion, encryptionKeyId } of shape.distinctFormats) {
    tables.writeUInt32BE(compression, at);
    tables[at + 4] = formatVersion;
    tables[at + 5] = encryptionKeyId;
    at += formatRecordBytes;
  }
  return tables;
}

function corrupt(what: string): RepositoryError {
  return new RepositoryError('corrupt', `an index of version 2 ${what}`);
}
