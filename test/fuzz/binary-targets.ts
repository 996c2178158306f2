/** Decoders of binary formats: indexes, ends of packs, error correction, sealed blobs, entries of local tables. */
import { crc32 } from 'node:zlib';
import { blobId } from '../../src/blobs/blob-store.ts';
import { seededRng } from '../../src/std/rng.ts';
import { decodePostamble, encodePostamble, readLocalIndex } from '../../src/repository/content/pack-format.ts';
import { decodeSessionMarker } from '../../src/repository/content/session.ts';
import { decodeUvarint } from '../../src/repository/content/uvarint.ts';
import { ErrorCorrection } from '../../src/repository/ecc/error-correction.ts';
import { formatEnvelopeKey, openEnvelope, sealEnvelope } from '../../src/repository/format/envelope.ts';
import { maintenanceBlobId, openMaintenance, sealMaintenance } from '../../src/repository/format/maintenance-blob.ts';
import { checkIndex } from '../../src/repository/index/check-index.ts';
import { IndexTable } from '../../src/repository/index/index-table.ts';
import { type ExampleRepository, examples } from './example-inputs.ts';
import type { FuzzTarget } from './fuzz-target.ts';

const rng = seededRng(1);

export function binaryTargets({ opened, codec }: ExampleRepository): FuzzTarget[] {
  const envelope = formatEnvelopeKey(opened.formatKey, opened.uniqueId);
  const marker = blobId('s896ca69d1ba6c408ae9c9133afa174ac-s54452cc6008cb1a1147');
  return [
    ...indexTargets(codec.hashLengthBytes),
    ...[2, 20].map(correction),
    {
      name: 'postamble of a pack',
      valid: [
        ...examples('pack'),
        Buffer.from(encodePostamble({ iv: rng.bytes(16), offset: 2 ** 31, lengthBytes: 2 ** 20 })),
      ],
      decode: decodePostamble,
      repair: repairPostamble,
    },
    {
      name: 'local index of a pack',
      valid: examples('pack'),
      decode: (bytes) => readLocalIndex(bytes, codec),
      repair: repairPostamble,
    },
    { name: 'uvarint', valid: [Buffer.of(5), Buffer.of(0xff, 0xff, 0x03)], decode: (bytes) => decodeUvarint(bytes, 0) },
    {
      name: 'sealed format blob',
      valid: [Buffer.from(sealEnvelope(envelope, Buffer.from('{}'), rng))],
      decode: (bytes) => openEnvelope(envelope, bytes),
    },
    {
      name: maintenanceBlobId,
      valid: [Buffer.from(sealMaintenance(opened, '{"runs":{}}', rng))],
      decode: (bytes) => openMaintenance(opened, bytes),
    },
    {
      name: 'session marker, sealed',
      valid: examples('session-marker'),
      decode: (bytes) => decodeSessionMarker(codec, marker, bytes),
    },
  ];
}

/** All that a command does with an index: it is checked, gone through and searched. */
function indexTargets(hashLengthBytes: number): FuzzTarget[] {
  return [1, 2].map((version) => ({
    name: `index, version ${version}`,
    valid: examples('index').filter((bytes) => (bytes[0] === 1 ? 1 : 2) === version),
    decode: (bytes) => {
      const table = IndexTable.inMemory(bytes);
      for (const { contentId } of table.entries()) table.lookup(Buffer.from(contentId, 'latin1'));
      table.lookup(Buffer.alloc(hashLengthBytes + 1, 0x6b));
      checkIndex(bytes, { keySize: hashLengthBytes + 1 });
    },
  }));
}

function correction(percent: number): FuzzTarget {
  const codes = new ErrorCorrection(percent);
  const valid = [1, 100, 5000].map((lengthBytes) => {
    const stored = Buffer.alloc(codes.storedBytes(lengthBytes));
    codes.wrapInto(lengthBytes, (into) => into.set(rng.bytes(lengthBytes)), stored, 0);
    return stored;
  });
  return {
    name: `error correction, ${percent} %`,
    valid,
    decode: (bytes) => {
      codes.isWhole(bytes);
      codes.unwrap(bytes);
      codes.mend(bytes);
    },
  };
}

function repairPostamble(bytes: Buffer): void {
  const end = bytes.length - 5;
  const start = end + 4 - (bytes.at(-1) ?? 0);
  if (start >= 0 && start <= end) bytes.writeUInt32BE(crc32(bytes.subarray(start, end)), end);
}
