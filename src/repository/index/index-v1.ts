/**
 * Index version 1 (Kopia `repo/content/index/index_v1.go`): no compression, no encryption key, no original length, and
 * the pack's name by its position. Written only into repositories whose index version is 1.
 */
import assert from 'node:assert/strict';

import { RepositoryError } from '../repository-error.ts';
import { chunkBytes, type IndexShape } from './index-shape.ts';
import type { IndexCursor } from './index-cursor.ts';
import type { IndexLayout, IndexValue } from './index-layout.ts';

const headerBytes = 8;
const valueBytes = 20;
/** Key size of an index without entries. */
const emptyKeySize = 255;
const keySizeMax = 33;
/** What encryption adds to a content; the only way to tell the original length of an entry of this version. */
const encryptionOverheadBytes = 28;

/** @throws {RepositoryError} `corrupt` */
export function parseLayoutV1(head: Uint8Array, indexBytes: number): IndexLayout {
  if (indexBytes < headerBytes || head.length < headerBytes) throw corrupt('shorter than its header');
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const keySize = view.getUint8(1);
  const count = view.getUint32(4);
  if (view.getUint16(2) !== valueBytes) throw corrupt(`with values of ${view.getUint16(2)} bytes`);
  const empty = keySize === emptyKeySize && count === 0;
  if (!empty && (keySize < 2 || keySize > keySizeMax)) throw corrupt(`with keys of ${keySize} bytes`);
  const stride = keySize + valueBytes;
  if (headerBytes + count * stride > indexBytes) throw corrupt(`of ${count} entries in ${indexBytes} bytes`);
  return {
    version: 1,
    indexBytes,
    keySize,
    stride,
    count,
    entriesAt: headerBytes,
    packsAt: 0,
    packCount: 0,
    formatsAt: 0,
    formatCount: 0,
    baseTimestampSeconds: 0,
  };
}

export function decodeValueV1(bytes: Uint8Array, at: number, into: IndexValue): void {
  into.timestampSeconds =
    (bytes[at]! * 256 + bytes[at + 1]!) * 2 ** 32 +
    (bytes[at + 2]! * 2 ** 24 + ((bytes[at + 3]! << 16) | (bytes[at + 4]! << 8) | bytes[at + 5]!));
  into.format = bytes[at + 6]!;
  into.packNameLength = bytes[at + 7]!;
  into.pack = uint32(bytes, at + 8);
  into.packOffset =
    ((bytes[at + 12]! & 0x7f) << 24) | (bytes[at + 13]! << 16) | (bytes[at + 14]! << 8) | bytes[at + 15]!;
  into.deleted = bytes[at + 12]! >= 0x80;
  into.packedLength = uint32(bytes, at + 16);
  into.originalLength = Math.max(0, into.packedLength - encryptionOverheadBytes);
}

function uint32(bytes: Uint8Array, at: number): number {
  return bytes[at]! * 2 ** 24 + ((bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!);
}

/** The whole index in pieces; each is a view that is overwritten by the next. */
export function* encodeV1(shape: IndexShape, cursor: IndexCursor): Generator<Buffer> {
  const { keySize } = shape;
  const stride = keySize + valueBytes;
  const namesAt = headerBytes + shape.count * stride;
  const nameAt: number[] = [];
  let end = namesAt;
  for (const name of shape.packs.keys()) {
    nameAt.push(end);
    end += name.length;
  }
  const chunk = Buffer.alloc(chunkBytes);
  chunk.set([1, keySize, 0, valueBytes]);
  chunk.writeUInt32BE(shape.count, 4);
  let used = headerBytes;
  while (cursor.next()) {
    if (used + stride > chunk.length) {
      yield chunk.subarray(0, used);
      used = 0;
    }
    const { value } = cursor;
    const format = cursor.format();
    const name = cursor.packName();
    assert(format.compression === 0 && format.encryptionKeyId === 0, 'index version 1 cannot say compression or key');
    used += cursor.key.copy(chunk, used, cursor.keyAt, cursor.keyAt + keySize);
    chunk.writeUIntBE(value.timestampSeconds, used, 6);
    chunk[used + 6] = format.formatVersion;
    chunk[used + 7] = name.length;
    chunk.writeUInt32BE(nameAt[shape.packs.get(name)!]!, used + 8);
    chunk.writeUInt32BE(value.packOffset + (value.deleted ? 2 ** 31 : 0), used + 12);
    chunk.writeUInt32BE(value.packedLength, used + 16);
    used += valueBytes;
  }
  yield chunk.subarray(0, used);
  yield Buffer.from([...shape.packs.keys()].join(''), 'latin1');
}

function corrupt(what: string): RepositoryError {
  return new RepositoryError('corrupt', `an index of version 1 ${what}`);
}
