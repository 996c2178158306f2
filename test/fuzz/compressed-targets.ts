/**
 * Decoders of compressed contents: streams that kopia wrote, taken out of the fixtures, and those of this program. The length
 * that the index declares is the bound: what a stream says of itself takes no memory.
 */
import { deflateRawSync, gzipSync } from 'node:zlib';
import { compress, decompress, decompressChunk } from '../../src/repository/content/compression.ts';
import { hashOf } from '../../src/repository/content/content-id.ts';
import { copyFixture, openCopy, readExpected } from '../fixtures/open-fixture.ts';
import type { FuzzTarget } from './fuzz-target.ts';

/** By header id, the shortest streams first. */
export type Streams = ReadonlyMap<number, readonly CompressedStream[]>;

interface CompressedStream {
  /** With its header. */
  readonly payload: Uint8Array;
  readonly originalLength: number;
}

const streamBytesMax = 20_000;
const declaredMax = 1024 * 1024;

export function compressedTargets(streams: Streams): FuzzTarget[] {
  const headers: readonly [string, number][] = [
    ['gzip', 0x1000],
    ['zstd', 0x1101],
    ['S2', 0x1200],
    ['S2, better', 0x1201],
    ['LZ4', 0x1400],
    ['deflate', 0x1500],
  ];
  const plain = Buffer.from('what is compressed, and compressed again, is compressed. '.repeat(40));
  const own: Streams = new Map([
    [0x1000, [stream(0x1000, gzipSync(plain), plain.length)]],
    [0x1101, [{ payload: compress('zstd-fastest', plain)!, originalLength: plain.length }]],
    [0x1500, [stream(0x1500, deflateRawSync(plain), plain.length)]],
  ]);
  return [
    ...headers.map(([name, headerId]) =>
      contentTarget(name, headerId, [...(own.get(headerId) ?? []), ...(streams.get(headerId) ?? [])]),
    ),
    {
      name: 'compressed chunk of format version 1',
      valid: own
        .values()
        .toArray()
        .flat()
        .map(({ payload }) => payload),
      decode: (bytes) => decompressChunk(bytes, declaredMax),
    },
  ];
}

/** Each input ends with the length that is declared for it, four bytes, taken modulo 1 MiB. */
function contentTarget(name: string, headerId: number, streams: readonly CompressedStream[]): FuzzTarget {
  const valid = streams.map(({ payload, originalLength }) => {
    const declared = Buffer.alloc(4);
    declared.writeUInt32BE(originalLength);
    return Buffer.concat([payload, declared]);
  });
  return {
    name: `compressed by ${name}`,
    valid,
    decode: (bytes) => {
      const end = Math.max(0, bytes.length - 4);
      const originalLength = bytes.length < 4 ? 0 : Buffer.from(bytes).readUInt32BE(end) % (declaredMax + 1);
      return decompress(headerId, bytes.subarray(0, end), { originalLength });
    },
    // What mutations break first is the header, and behind a wrong one nothing is reached.
    repair: (bytes) => {
      if (bytes.length >= 4) bytes.writeUInt32BE(headerId);
    },
  };
}

function stream(headerId: number, bytes: Uint8Array, originalLength: number): CompressedStream {
  const header = Buffer.alloc(4);
  header.writeUInt32BE(headerId);
  return { payload: Buffer.concat([header, bytes]), originalLength };
}

/** What kopia compressed in the fixtures, up to three of each kind. */
export async function kopiaStreams(): Promise<Streams> {
  const { signal } = new AbortController();
  const found = new Map<number, CompressedStream[]>();
  for (const name of ['compressors', 'compressor-lz4']) {
    const { password } = await readExpected(name);
    await using copy = await copyFixture(name);
    await using repository = await openCopy(copy, { password, signal });
    const entries = [...repository.index.entries()].toSorted((a, b) => a.packedLength - b.packedLength);
    for (const { contentId, compression, packBlob, packOffset, packedLength, originalLength } of entries) {
      const kind = found.get(compression) ?? [];
      if (compression === 0 || kind.length >= 3 || packedLength > streamBytesMax || originalLength > declaredMax)
        continue;
      const sealed = await repository.store.get(packBlob, {
        range: { offset: packOffset, lengthBytes: packedLength },
        signal,
      });
      const payload = repository.codec.openWith(hashOf(contentId).subarray(-16), sealed).slice();
      found.set(compression, [...kind, { payload, originalLength }]);
    }
  }
  return found;
}
