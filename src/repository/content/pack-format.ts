/**
 * What surrounds the contents of a pack (Kopia `content_index_recovery.go`): random bytes in front, and at the end
 * padding, an encrypted copy of the pack's own index, and a postamble that says where that copy is.
 *
 *   [copy of the format blob, in format version 1] ‖ preamble (32 random) ‖ contents ‖ padding (1 to 4096 random) ‖ local index, sealed ‖ postamble
 *
 * Nobody needs the tail to read a pack; it is there so that indexes can be rebuilt from packs alone. The postamble is
 * not authenticated: only the local index that it points to is.
 */
import assert from 'node:assert/strict';
import { crc32 } from 'node:zlib';

import type { Rng } from '../../std/rng.ts';
import { RepositoryError } from '../repository-error.ts';
import type { ContentCodec } from './content-codec.ts';
import { decodeUvarint, encodeUvarint } from './uvarint.ts';

const preambleBytes = 32;
const paddingBlockBytes = 4096;
/** Appended to the local index, so that two packs with equal indexes do not share a key. */
const indexSuffixBytes = 32;
const postambleVersion = 1;
const checksumBytes = 4;
const ivBytesMax = 32;

/** What a pack begins with, behind `head`; the first content stands behind it. */
export function packPreamble(head: Uint8Array, rng: Rng): Uint8Array {
  return Buffer.concat([head, rng.bytes(preambleBytes)]);
}

export interface PackTail {
  /** Preamble and contents so far. */
  readonly packLengthBytes: number;
  /** The encoded index of this pack's contents, without suffix. */
  readonly localIndexPlain: Uint8Array;
  readonly codec: ContentCodec;
  readonly rng: Rng;
}

/** Everything that follows the last content. */
export function encodePackTail({ packLengthBytes, localIndexPlain, codec, rng }: PackTail): Uint8Array {
  const padding = rng.bytes(paddingBlockBytes - (packLengthBytes % paddingBlockBytes));
  const plain = Buffer.concat([localIndexPlain, rng.bytes(indexSuffixBytes)]);
  const iv = codec.hash(plain);
  const sealed = codec.sealWith(iv, plain);
  const offset = packLengthBytes + padding.length;
  return Buffer.concat([padding, sealed, encodePostamble({ iv, offset, lengthBytes: sealed.length })]);
}

/** Where the local index is and under what it was sealed. */
export interface Postamble {
  readonly iv: Uint8Array;
  /** In the pack, from its beginning. */
  readonly offset: number;
  /** Sealed. */
  readonly lengthBytes: number;
}

export function encodePostamble({ iv, offset, lengthBytes }: Postamble): Uint8Array {
  const fields = Buffer.concat([
    encodeUvarint(postambleVersion),
    encodeUvarint(iv.length),
    iv,
    encodeUvarint(offset),
    encodeUvarint(lengthBytes),
  ]);
  const end = Buffer.alloc(checksumBytes + 1);
  end.writeUInt32BE(crc32(fields));
  assert(fields.length + checksumBytes <= 255);
  end[checksumBytes] = fields.length + checksumBytes;
  return Buffer.concat([fields, end]);
}

/**
 * Reads the postamble at the end of `tail`, any number of last bytes of a pack.
 * @throws {RepositoryError} `corrupt`
 */
export function decodePostamble(tail: Uint8Array): Postamble & { readonly postambleBytes: number } {
  const length = tail.at(-1) ?? 0;
  const postambleBytes = length + 1;
  if (length <= checksumBytes || postambleBytes > tail.length) throw corrupt('no postamble');
  const postamble = tail.subarray(tail.length - postambleBytes, -1);
  const fields = postamble.subarray(0, -checksumBytes);
  const checksum = new DataView(postamble.buffer, postamble.byteOffset).getUint32(fields.length);
  if (crc32(fields) !== checksum) throw corrupt('the postamble has a wrong checksum');
  const version = decodeUvarint(fields, 0);
  if (version.value !== postambleVersion) throw corrupt(`postamble version ${version.value}`);
  const ivLength = decodeUvarint(fields, version.end);
  if (ivLength.value === 0 || ivLength.value > ivBytesMax) throw corrupt('the postamble has an impossible iv');
  const ivEnd = ivLength.end + ivLength.value;
  const offset = decodeUvarint(fields, ivEnd);
  const lengthBytes = decodeUvarint(fields, offset.end);
  if (lengthBytes.end !== fields.length) throw corrupt('the postamble has bytes left over');
  const iv = fields.slice(ivLength.end, ivEnd);
  return { iv, offset: offset.value, lengthBytes: lengthBytes.value, postambleBytes };
}

export interface LocalIndex {
  /** The encoded index and its 32 byte suffix, which index decoders ignore. */
  readonly plain: Uint8Array;
  /** Where it is stored in the pack. */
  readonly offset: number;
  readonly lengthBytes: number;
}

/**
 * Opens the local index of a whole pack.
 * @throws {RepositoryError} `corrupt`
 */
export function readLocalIndex(pack: Uint8Array, codec: ContentCodec): LocalIndex {
  const { iv, offset, lengthBytes, postambleBytes } = decodePostamble(pack);
  if (offset + lengthBytes > pack.length - postambleBytes) throw corrupt('the local index lies outside the pack');
  const plain = codec.openWith(iv, pack.subarray(offset, offset + lengthBytes));
  if (codec.hash(plain).compare(iv) !== 0) throw corrupt('the local index has another hash than the postamble says');
  return { plain, offset, lengthBytes };
}

function corrupt(what: string): RepositoryError {
  return new RepositoryError('corrupt', `pack: ${what}`);
}
