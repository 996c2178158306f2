/**
 * Sealed bytes with parity around them, so that damaged sectors of a store can be mended (Kopia's `REED-SOLOMON-CRC32`).
 * Checksums are only looked at when the sealed bytes inside do not authenticate: the cipher's tag is the better witness,
 * and reading what is whole then costs a copy.
 */
import { crc32 } from 'node:zlib';

import { RepositoryError } from '../repository-error.ts';
import { ReedSolomon, type CodeShape } from './reed-solomon.ts';
import { checksumBytes, lengthFieldBytes, parityRegionBytes, ShardLayouts, type ShardLayout } from './shard-layout.ts';

/** Belongs to one thread. */
export class ErrorCorrection {
  readonly #layouts: ShardLayouts;
  readonly #codes = new Map<number, ReedSolomon>();
  #data = new Uint8Array(0);
  #parity = new Uint8Array(0);

  constructor(overheadPercent: number) {
    this.#layouts = new ShardLayouts(overheadPercent);
  }

  /** What is stored of so many bytes. */
  storedBytes(inputBytes: number): number {
    return this.#layouts.storedBytes(inputBytes);
  }

  /**
   * @param fill writes the bytes to be protected, exactly `inputBytes`, to the array that it is given
   * @returns the bytes written to `out` at `offset`
   */
  wrapInto(inputBytes: number, fill: (into: Uint8Array) => void, out: Uint8Array, offset: number): number {
    const layout = this.#layouts.ofInput(inputBytes);
    const data = this.#dataOf(layout);
    new DataView(data.buffer, data.byteOffset).setUint32(0, inputBytes);
    const end = lengthFieldBytes + inputBytes;
    fill(data.subarray(lengthFieldBytes, end));
    data.fill(0, end);
    const code = this.#code(layout);
    const blockBytes = layout.dataShards * layout.shardBytes;
    const parity = new Uint8Array(layout.parityShards * layout.shardBytes);
    let at = offset;
    for (let block = 0; block < layout.blocks; block++) {
      code.encode(data.subarray(block * blockBytes, (block + 1) * blockBytes), layout.shardBytes, parity);
      at = putShards(parity, layout.shardBytes, parity.length, out, at);
    }
    return putShards(data, layout.shardBytes, layout.storePadding ? data.length : end, out, at) - offset;
  }

  /**
   * The protected bytes as they are stored, unchecked: a view that is valid until the next call.
   * @throws {RepositoryError} `corrupt` when the lengths cannot be
   */
  unwrap(stored: Uint8Array): Uint8Array {
    const layout = this.#layoutOf(stored);
    const data = this.#dataOf(layout);
    takeShards(stored.subarray(parityRegionBytes(layout)), layout.shardBytes, data);
    return protectedBytes(data);
  }

  /**
   * As `unwrap`, with every shard checked and the damaged ones computed anew.
   * @throws {RepositoryError} `corrupt` when too much is damaged
   */
  mend(stored: Uint8Array): Uint8Array {
    const layout = this.#layoutOf(stored);
    const { dataShards, parityShards, shardBytes } = layout;
    const parityRegion = parityRegionBytes(layout);
    const data = this.#dataOf(layout);
    const parity = this.#parityOf(layout);
    takeShards(stored.subarray(parityRegion), shardBytes, data);
    takeShards(stored.subarray(0, parityRegion), shardBytes, parity);
    const lostData = damaged(stored.subarray(parityRegion), data, layout, dataShards);
    const lostParity = damaged(stored.subarray(0, parityRegion), parity, layout, parityShards);
    for (const block of lostData.keys()) {
      const lost = new Set([
        ...(lostData.get(block) ?? []),
        ...(lostParity.get(block) ?? []).map((shard) => dataShards + shard),
      ]);
      const blockData = data.subarray(block * dataShards * shardBytes, (block + 1) * dataShards * shardBytes);
      const blockParity = parity.subarray(block * parityShards * shardBytes, (block + 1) * parityShards * shardBytes);
      if (!this.#code(layout).restore(blockData, blockParity, shardBytes, lost)) {
        throw new RepositoryError('corrupt', `${lost.size} shards are damaged, and ${parityShards} can be mended`);
      }
    }
    return protectedBytes(data);
  }

  /** Whether all shards have the checksums that are stored with them. */
  isWhole(stored: Uint8Array): boolean {
    const layout = this.#layouts.ofStored(stored.length);
    const [data, parity] = [this.#dataOf(layout), this.#parityOf(layout)];
    const at = parityRegionBytes(layout);
    takeShards(stored.subarray(at), layout.shardBytes, data);
    takeShards(stored.subarray(0, at), layout.shardBytes, parity);
    const lostData = damaged(stored.subarray(at), data, layout, layout.dataShards);
    return lostData.size + damaged(stored.subarray(0, at), parity, layout, layout.parityShards).size === 0;
  }

  #layoutOf(stored: Uint8Array): ShardLayout {
    const layout = this.#layouts.ofStored(stored.length);
    const { dataShards, shardBytes, blocks } = layout;
    const dataBytes = stored.length - parityRegionBytes(layout);
    const whole = dataShards * blocks * (checksumBytes + shardBytes);
    const fits = layout.storePadding ? dataBytes === whole : dataBytes > checksumBytes && dataBytes <= whole;
    if (!fits) throw new RepositoryError('corrupt', `${stored.length} bytes cannot be of shards with error correction`);
    return layout;
  }

  #code(shape: CodeShape): ReedSolomon {
    const known = this.#codes.get(shape.dataShards);
    if (known !== undefined) return known;
    const { dataShards, parityShards } = shape;
    const made = new ReedSolomon({ dataShards, parityShards });
    this.#codes.set(dataShards, made);
    return made;
  }

  #dataOf({ dataShards, shardBytes, blocks }: ShardLayout): Uint8Array {
    const length = dataShards * shardBytes * blocks;
    if (this.#data.length < length) this.#data = new Uint8Array(length);
    return this.#data.subarray(0, length);
  }

  #parityOf({ parityShards, shardBytes, blocks }: ShardLayout): Uint8Array {
    const length = parityShards * shardBytes * blocks;
    if (this.#parity.length < length) this.#parity = new Uint8Array(length);
    return this.#parity.subarray(0, length);
  }
}

function protectedBytes(data: Uint8Array): Uint8Array {
  const length = new DataView(data.buffer, data.byteOffset).getUint32(0);
  if (length > data.length - lengthFieldBytes) {
    throw new RepositoryError('corrupt', `${data.length} bytes with error correction claim to hold ${length}`);
  }
  return data.subarray(lengthFieldBytes, lengthFieldBytes + length);
}

/** Writes shards behind their checksums, which cover the padding also where only `storedBytes` of it are stored. */
function putShards(
  shards: Uint8Array,
  shardBytes: number,
  storedBytes: number,
  out: Uint8Array,
  offset: number,
): number {
  let at = offset;
  const view = new DataView(out.buffer, out.byteOffset);
  for (let from = 0; from < storedBytes; from += shardBytes) {
    view.setUint32(at, crc32(shards.subarray(from, from + shardBytes)));
    const length = Math.min(shardBytes, storedBytes - from);
    out.set(shards.subarray(from, from + length), at + checksumBytes);
    at += checksumBytes + length;
  }
  return at;
}

/** Copies shards to where they stand without checksums; what is not stored becomes zeros. */
function takeShards(stored: Uint8Array, shardBytes: number, into: Uint8Array): void {
  let to = 0;
  for (let from = checksumBytes; from < stored.length; from += checksumBytes + shardBytes) {
    const shard = stored.subarray(from, from + shardBytes);
    into.set(shard, to);
    to += shard.length;
  }
  into.fill(0, to);
}

/** The numbers, by block, of those shards in `taken` that have another checksum than is stored with them. */
function damaged(stored: Uint8Array, taken: Uint8Array, layout: ShardLayout, inBlock: number): Map<number, number[]> {
  const { shardBytes } = layout;
  const view = new DataView(stored.buffer, stored.byteOffset);
  const found = new Map<number, number[]>();
  for (let shard = 0, at = 0; at < stored.length; shard++, at += checksumBytes + shardBytes) {
    const checksum = at + checksumBytes <= stored.length ? view.getUint32(at) : undefined;
    if (checksum === crc32(taken.subarray(shard * shardBytes, (shard + 1) * shardBytes))) continue;
    const block = Math.floor(shard / inBlock);
    found.set(block, [...(found.get(block) ?? []), shard - block * inBlock]);
  }
  return found;
}
