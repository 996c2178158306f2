/**
 * How many shards of which length error correction makes of so many bytes, and the way back from the stored length
 * (Kopia `repo/ecc/ecc_rs_crc.go`, `ecc_utils.go`). What is stored begins with the shards of parity, then those of data,
 * each behind its checksum; the data is four bytes of length and the bytes themselves, padded with zeros.
 */
import type { CodeShape } from './reed-solomon.ts';

/** In front of the data, and of every shard (a CRC-32). */
export const lengthFieldBytes = 4;
export const checksumBytes = 4;

const smallShape: CodeShape = { dataShards: 6, parityShards: 2 };
const dataShardsUsual = 128;
const dataShardsMax = 254;

export interface ShardLayout extends CodeShape {
  readonly shardBytes: number;
  readonly blocks: number;
  /** The zeros behind the data are stored; else the last shard of data is short, and those behind it are left out. */
  readonly storePadding: boolean;
}

export class ShardLayouts {
  readonly shape: CodeShape;
  readonly #shardBytesMax: number;
  /** Most bytes, with the length field, that the small shape takes, and one block of the usual one. */
  readonly #smallInputBytes: number;
  readonly #oneBlockInputBytes: number;

  /** @param overheadPercent as the repository's format says, above 0 */
  constructor(overheadPercent: number) {
    this.#shardBytesMax = shardBytesMaxFor(overheadPercent);
    this.shape = shapeFor(overheadPercent, this.#shardBytesMax);
    const { dataShards, parityShards } = this.shape;
    this.#smallInputBytes = 2 * checksumBytes * (dataShards + parityShards);
    this.#oneBlockInputBytes = dataShards * this.#shardBytesMax;
  }

  ofInput(bytes: number): ShardLayout {
    const padded = bytes + lengthFieldBytes;
    const shape = padded <= this.#smallInputBytes ? smallShape : this.shape;
    if (padded <= Math.max(this.#smallInputBytes, this.#oneBlockInputBytes)) {
      return { ...shape, shardBytes: Math.ceil(padded / shape.dataShards), blocks: 1, storePadding: true };
    }
    const shardBytes = this.#shardBytesMax;
    return { ...shape, shardBytes, blocks: Math.ceil(padded / (shape.dataShards * shardBytes)), storePadding: false };
  }

  ofStored(bytes: number): ShardLayout {
    const small = storedBlockBytes(smallShape, Math.ceil(this.#smallInputBytes / smallShape.dataShards));
    const shape = bytes <= small ? smallShape : this.shape;
    if (bytes <= Math.max(small, storedBlockBytes(this.shape, this.#shardBytesMax))) {
      const shardBytes = Math.max(1, Math.ceil(bytes / (shape.dataShards + shape.parityShards)) - checksumBytes);
      return { ...shape, shardBytes, blocks: 1, storePadding: true };
    }
    const shardBytes = this.#shardBytesMax;
    return {
      ...shape,
      shardBytes,
      blocks: Math.ceil(bytes / storedBlockBytes(shape, shardBytes)),
      storePadding: false,
    };
  }

  /** What is stored of so many bytes. */
  storedBytes(inputBytes: number): number {
    const layout = this.ofInput(inputBytes);
    const { dataShards, shardBytes, blocks } = layout;
    const dataBytes = layout.storePadding ? dataShards * shardBytes * blocks : inputBytes + lengthFieldBytes;
    return parityRegionBytes(layout) + dataBytes + Math.ceil(dataBytes / shardBytes) * checksumBytes;
  }
}

/** The length of all shards of parity with their checksums: where those of data begin. */
export function parityRegionBytes({ blocks, parityShards, shardBytes }: ShardLayout): number {
  return blocks * parityShards * (checksumBytes + shardBytes);
}

function storedBlockBytes({ dataShards, parityShards }: CodeShape, shardBytes: number): number {
  return (dataShards + parityShards) * (checksumBytes + shardBytes);
}

function shardBytesMaxFor(overheadPercent: number): number {
  if (overheadPercent <= 1) return 1024;
  if (overheadPercent === 2) return 512;
  if (overheadPercent === 3) return 256;
  return overheadPercent <= 6 ? 128 : 64;
}

/** In single precision where Kopia's is. At least two shards of parity: where one would do, there are more of data. */
function shapeFor(overheadPercent: number, shardBytesMax: number): CodeShape {
  const forChecksums = Math.fround((100 * checksumBytes) / shardBytesMax);
  const free = Math.max(Math.fround(Math.fround(overheadPercent) - forChecksums), Math.fround(0.01));
  const parity = between(1, Math.floor(dataShardsUsual * Math.fround(free / 100)), dataShardsUsual);
  if (parity > 1) return { dataShards: dataShardsUsual, parityShards: parity };
  const dataShards = between(dataShardsUsual, Math.floor(2 * Math.fround(100 / free)), dataShardsMax);
  return { dataShards, parityShards: 2 };
}

function between(min: number, value: number, max: number): number {
  return Math.min(max, Math.max(min, value));
}
