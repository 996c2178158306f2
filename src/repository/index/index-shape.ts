/**
 * What an encoder must know before it can write the first byte: how many entries there are, and which packs and formats
 * they name. Found by one pass over the entries; the second pass writes. That keeps memory to the names of the packs,
 * however many entries there are.
 */
import { RepositoryError } from '../repository-error.ts';
import type { IndexCursor } from './index-cursor.ts';
import type { EntryFormat } from './index-layout.ts';

/** Encoders hand out their output in pieces of at most this size, bytes. */
export const chunkBytes: number = 256 * 1024;

const formatsMax = 255;
const packsMax = 2 ** 24;

export class IndexShape {
  readonly keySize: number;
  count = 0;
  /** Name to number, numbered in the order of first use. */
  readonly packs: Map<string, number> = new Map<string, number>();
  /** `formatKey` to number. */
  readonly formats: Map<number, number> = new Map<number, number>();
  readonly distinctFormats: EntryFormat[] = [];
  /** The greatest original or packed length. */
  lengthMax = 0;

  constructor(keySize: number) {
    this.keySize = keySize;
  }

  /** @throws {RepositoryError} `corrupt` when an entry says what no index of this version can say. */
  static of(cursor: IndexCursor, version: 1 | 2): IndexShape {
    const shape = new IndexShape(cursor.keySize);
    while (cursor.next()) shape.#add(cursor, version);
    return shape;
  }

  formatKey({ compression, formatVersion, encryptionKeyId }: EntryFormat): number {
    return compression * 65_536 + formatVersion * 256 + encryptionKeyId;
  }

  #add(cursor: IndexCursor, version: 1 | 2): void {
    const { timestampSeconds, originalLength, packedLength, packOffset } = cursor.value;
    const name = cursor.packName();
    const format = cursor.format();
    const fits =
      timestampSeconds < (version === 1 ? 2 ** 48 : 2 ** 32) &&
      packOffset < 2 ** 31 &&
      packedLength < (version === 1 ? 2 ** 32 : 2 ** 28) &&
      (version === 1 || originalLength < 2 ** 28) &&
      name.length <= 255;
    if (version === 1 && (format.compression !== 0 || format.encryptionKeyId !== 0)) {
      throw new RepositoryError('corrupt', `an index of version 1 cannot say how a content in pack ${name} is stored`);
    }
    if (!fits) throw new RepositoryError('corrupt', `an index entry in pack ${name} has a time or length out of range`);
    this.count++;
    this.lengthMax = Math.max(this.lengthMax, originalLength, packedLength);
    if (!this.packs.has(name)) this.packs.set(name, this.packs.size);
    const key = this.formatKey(format);
    if (!this.formats.has(key)) {
      this.formats.set(key, this.formats.size);
      this.distinctFormats.push(format);
    }
    if (this.formats.size > formatsMax || this.packs.size > packsMax) {
      throw new RepositoryError('corrupt', 'more packs or content formats than an index can name');
    }
  }
}
