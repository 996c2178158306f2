/**
 * Compression of single contents (Kopia `repo/compression`): a big-endian header id, then the algorithm's own stream.
 * Ids of contents are hashes of what is uncompressed, so the stream need not equal Kopia's. All that Kopia has ever
 * written is read; all but LZ4, which it advises against, is written.
 */
import { deflateRawSync, gunzipSync, gzipSync, inflateRawSync } from 'node:zlib';

import { zstdContext } from '../../kernel/zstd.ts';
import { RepositoryError } from '../repository-error.ts';
import { decompressLz4 } from './lz4.ts';
import { compressS2 } from './s2-encode.ts';
import { decompressS2 } from './s2.ts';

/** What this program writes. */
export type CompressorName =
  | 'none'
  | `zstd${'' | '-fastest' | '-better-compression' | '-best-compression'}`
  | `s2-${'default' | 'better' | 'parallel-4' | 'parallel-8'}`
  | `${'gzip' | 'pgzip'}${'' | '-best-speed' | '-best-compression'}`
  | `deflate-${'default' | 'best-speed' | 'best-compression'}`;

/** Writes the stream to the beginning of `out`; undefined when it does not fit. */
type Encoder = (plain: Uint8Array, out: Uint8Array) => number | undefined;
/** Writes the content to the beginning of `out`; undefined when the stream is damaged or holds more than that. */
type Decoder = (stream: Uint8Array, out: Uint8Array) => number | undefined;

interface Algorithm {
  readonly headerId: number;
  readonly decode: Decoder;
  /** Absent: read, but not written. */
  readonly encode?: Encoder;
}

/** Up to level 11 the window stays at 4 MiB or less, whatever the length; Kopia's own reach 8 MiB. */
const zstd = (headerId: number, level: number): Required<Algorithm> => ({
  headerId,
  decode: (stream, out) => zstdContext().decompressInto(stream, out),
  encode: (plain, out) => zstdContext().compressInto(level, plain, out),
});
const gzip = (headerId: number, level: number): Required<Algorithm> => ({
  headerId,
  decode: nodeDecoder(gunzipSync),
  encode: nodeEncoder(gzipSync, level),
});
const deflate = (headerId: number, level: number): Required<Algorithm> => ({
  headerId,
  decode: nodeDecoder(inflateRawSync),
  encode: nodeEncoder(deflateRawSync, level),
});
/** Kopia's kinds differ in how hard and in how many threads they look for matches. */
const s2 = (headerId: number): Required<Algorithm> => ({ headerId, decode: decompressS2, encode: compressS2 });

const written: Readonly<Record<Exclude<CompressorName, 'none'>, Required<Algorithm>>> = {
  zstd: zstd(0x1100, 3),
  'zstd-fastest': zstd(0x1101, 1),
  'zstd-better-compression': zstd(0x1102, 7),
  'zstd-best-compression': zstd(0x1103, 11),
  's2-default': s2(0x1200),
  's2-better': s2(0x1201),
  's2-parallel-4': s2(0x1202),
  's2-parallel-8': s2(0x1203),
  gzip: gzip(0x1000, 6),
  'gzip-best-speed': gzip(0x1001, 1),
  'gzip-best-compression': gzip(0x1002, 9),
  pgzip: gzip(0x1300, 6),
  'pgzip-best-speed': gzip(0x1301, 1),
  'pgzip-best-compression': gzip(0x1302, 9),
  'deflate-default': deflate(0x1500, 6),
  'deflate-best-speed': deflate(0x1501, 1),
  'deflate-best-compression': deflate(0x1502, 9),
};

const algorithms: ReadonlyMap<number, readonly [name: string, decode: Decoder]> = new Map(
  Object.entries<Algorithm>({ ...written, lz4: { headerId: 0x1400, decode: decompressLz4 } }).map(
    ([name, { headerId, decode }]) => [headerId, [name, decode]],
  ),
);

/** The header id, 4 bytes before the stream. */
export const compressionHeaderBytes = 4;

export const compressorNames: readonly CompressorName[] = ['none', ...(Object.keys(written) as CompressorName[])];

export function isCompressorName(name: string): name is CompressorName {
  return name === 'none' || Object.hasOwn(written, name);
}

/** Kopia's name of an algorithm. */
export function compressionName(headerId: number): string | undefined {
  return headerId === 0 ? 'none' : algorithms.get(headerId)?.[0];
}

export function compressionHeaderId(name: CompressorName): number {
  return name === 'none' ? 0 : written[name].headerId;
}

/**
 * Writes header and stream to the beginning of `out`, which must not overlap `plain`.
 * @returns their length in bytes; undefined, with rubbish in `out`, unless it is strictly less than `plain.length`.
 */
export function compressInto(name: CompressorName, plain: Uint8Array, out: Uint8Array): number | undefined {
  if (name === 'none') return undefined;
  const { headerId, encode } = written[name];
  // The room is what makes it strictly smaller: encoders give up as soon as it is used up.
  const end = Math.min(out.length, plain.length - 1);
  if (end <= compressionHeaderBytes) return undefined;
  const streamBytes = encode(plain, out.subarray(compressionHeaderBytes, end));
  if (streamBytes === undefined) return undefined;
  new DataView(out.buffer, out.byteOffset).setUint32(0, headerId);
  return compressionHeaderBytes + streamBytes;
}

/** Header and stream in a fresh array, or undefined unless strictly smaller than `plain`. */
export function compress(name: CompressorName, plain: Uint8Array): Uint8Array | undefined {
  if (name === 'none') return undefined;
  const out = new Uint8Array(plain.length);
  const length = compressInto(name, plain, out);
  return length === undefined ? undefined : out.subarray(0, length);
}

/**
 * Undoes `compressInto`, to the beginning of `out`. `payload` begins with the header.
 * @returns the plain bytes, never more than `out.length`.
 * @throws {RepositoryError} `unsupported` for an algorithm that Kopia did not have; `corrupt` for a header that is not
 *   `headerId`, a damaged stream, or a content longer than `out`.
 */
export function decompressInto(headerId: number, payload: Uint8Array, out: Uint8Array): number {
  const [name, decoder] = readable(headerId);
  if (payload.length < compressionHeaderBytes)
    throw new RepositoryError('corrupt', 'compressed content without header');
  const found = new DataView(payload.buffer, payload.byteOffset).getUint32(0);
  if (found !== headerId) {
    throw new RepositoryError('corrupt', `compressed by ${label(found)}, but the index says ${label(headerId)}`);
  }
  const length = decoder(payload.subarray(compressionHeaderBytes), out);
  if (length === undefined) {
    throw new RepositoryError('corrupt', `a ${name} stream is damaged or holds more than ${out.length} bytes`);
  }
  return length;
}

/**
 * Undoes the compression of a whole chunk of an object (format version 1): the payload itself says which it is.
 * @param maxBytes of the plain bytes
 * @throws {RepositoryError} as `decompressInto`
 */
export function decompressChunk(payload: Uint8Array, maxBytes: number): Uint8Array {
  if (payload.length < compressionHeaderBytes) throw new RepositoryError('corrupt', 'compressed chunk without header');
  const headerId = new DataView(payload.buffer, payload.byteOffset).getUint32(0);
  const out = new Uint8Array(maxBytes);
  return out.subarray(0, decompressInto(headerId, payload, out));
}

/**
 * As `decompressInto`, to a fresh array of exactly `originalLength` bytes.
 * @throws {RepositoryError} `unsupported`; `corrupt`, also when the content is shorter.
 */
export function decompress(
  headerId: number,
  payload: Uint8Array,
  { originalLength }: { readonly originalLength: number },
): Uint8Array {
  const [name] = readable(headerId);
  const out = new Uint8Array(originalLength);
  const length = decompressInto(headerId, payload, out);
  if (length !== originalLength) {
    throw new RepositoryError('corrupt', `a ${name} stream holds ${length} bytes instead of ${originalLength}`);
  }
  return out;
}

function readable(headerId: number): readonly [name: string, decoder: Decoder] {
  const algorithm = algorithms.get(headerId);
  if (algorithm === undefined) throw new RepositoryError('unsupported', `compression ${label(headerId)}`);
  return algorithm;
}

function label(headerId: number): string {
  return compressionName(headerId) ?? `0x${headerId.toString(16)}`;
}

/** One piece of output as large as the content may be, and never more. */
function nodeDecoder(decode: typeof gunzipSync): Decoder {
  return (stream, out) => {
    const limitBytes = Math.max(1, out.length);
    let plain: Buffer;
    try {
      plain = decode(stream, { chunkSize: Math.max(64, limitBytes), maxOutputLength: limitBytes });
    } catch {
      return undefined;
    }
    if (plain.length > out.length) return undefined;
    out.set(plain);
    return plain.length;
  };
}

function nodeEncoder(encode: typeof gzipSync, level: number): Encoder {
  return (plain, out) => {
    let stream: Buffer;
    try {
      stream = encode(plain, { level, chunkSize: Math.max(64, out.length), maxOutputLength: out.length });
    } catch {
      return undefined;
    }
    out.set(stream);
    return stream.length;
  };
}
