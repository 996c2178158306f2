/**
 * Names of packs, found by position in the index when they are asked for. Lookups remember a bounded number of names;
 * a pass over the whole table loads the region of the names once, because entries in hash order name packs at random.
 */
import { blobId, type BlobId } from '../../blobs/blob-store.ts';
import type { IndexBytes } from './index-bytes.ts';
import type { IndexLayout, IndexValue } from './index-layout.ts';
import { packRecordBytes } from './index-v2.ts';

/** Names remembered by one table, about 120 bytes each. */
const namesMax = 4096;
/** Names remembered during a pass: all packs of ten million contents are about 500,000. */
const namesOfPassMax = 65_536;

export class PackNames {
  readonly #bytes: IndexBytes;
  readonly #layout: IndexLayout;
  readonly #namesMax: number;
  /** By number (version 2) or position (version 1) of the pack. */
  readonly #names = new Map<number, BlobId>();
  readonly #scratch = Buffer.alloc(255);

  constructor(bytes: IndexBytes, layout: IndexLayout, { forPass = false }: { readonly forPass?: boolean } = {}) {
    this.#bytes = bytes;
    this.#layout = layout;
    this.#namesMax = forPass ? namesOfPassMax : namesMax;
  }

  /** @throws {RepositoryError} what `damage` of the bytes makes, when the value names no pack of this index. */
  of(value: IndexValue): BlobId {
    const known = this.#names.get(value.pack);
    if (known !== undefined && (this.#layout.version === 2 || known.length === value.packNameLength)) return known;
    const name = this.#layout.version === 2 ? this.#byNumber(value.pack) : this.#at(value.pack, value.packNameLength);
    if (this.#names.size >= this.#namesMax) this.#names.clear();
    this.#names.set(value.pack, name);
    return name;
  }

  #byNumber(pack: number): BlobId {
    const { packCount, packsAt } = this.#layout;
    if (pack >= packCount) throw this.#bytes.damage(`an index entry names pack ${pack} of ${packCount}`);
    this.#bytes.read(packsAt + pack * packRecordBytes, this.#scratch, packRecordBytes);
    return this.#at(this.#scratch.readUInt32BE(1), this.#scratch[0]!);
  }

  #at(at: number, lengthBytes: number): BlobId {
    if (lengthBytes === 0 || at + lengthBytes > this.#layout.indexBytes) {
      throw this.#bytes.damage(`an index entry names a pack outside of its index, at ${at}`);
    }
    this.#bytes.read(at, this.#scratch, lengthBytes);
    const name = this.#scratch.toString('latin1', 0, lengthBytes);
    try {
      return blobId(name);
    } catch (error) {
      throw this.#bytes.damage('an index entry names an impossible pack', { cause: error });
    }
  }
}
