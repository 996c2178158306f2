/**
 * An index on local disk: the index as it was decrypted (or merged), then what it covers, then a checksum.
 *
 *     index bytes │ JSON array of blob names │ u32 its length │ "dray-ix1" │ 32 bytes BLAKE3, keyed, of all before
 *
 * The key comes from the repository's secrets, so a file of another repository, a damaged one and one that somebody
 * else made are all the same: not there. The index stays at the beginning, because its offsets are absolute.
 */
import { closeSync, fstatSync, read } from 'node:fs';
import { promisify } from 'node:util';
import { Blake3Hasher } from '@napi-rs/blake-hash';

import { blobId, type BlobId } from '../../blobs/blob-store.ts';
import { DrayError } from '../../std/dray-error.ts';
import { damagedTable, FileIndexBytes } from './index-bytes.ts';
import { indexHeaderBytes, parseIndexLayout, type IndexLayout } from './index-layout.ts';
import { IndexTable, type IndexTableLocation } from './index-table.ts';
import { KeyFilter } from './key-filter.ts';

const magic = Buffer.from('dray-ix1', 'latin1');
const macBytes = 32;
const endBytes = 4 + magic.length + macBytes;
/** Names of 100,000 blobs. */
const coverBytesMax = 16 * 1024 * 1024;
/** What one read of the verification fetches, bytes. */
const verifyReadBytes = 1024 * 1024;

const readFd = promisify(read);

/** An open, verified table. Whoever opened it closes it, when no thread looks into it any more. */
export class TableFile {
  readonly path: string;
  readonly covers: readonly BlobId[];
  readonly table: IndexTable;
  readonly location: IndexTableLocation;
  readonly #bytes: FileIndexBytes;
  #users = 1;

  private constructor(path: string, covers: readonly BlobId[], location: IndexTableLocation, filter?: KeyFilter) {
    this.path = path;
    this.covers = covers;
    this.location = location;
    this.#bytes = new FileIndexBytes(location.fd, path);
    this.table = new IndexTable(this.#bytes, location.layout, filter);
  }

  /**
   * Verifies the whole file. Takes over `fd`, and closes it unless a table comes out.
   * @returns undefined for anything that is no table under this key
   */
  static async verified(fd: number, path: string, key: Uint8Array): Promise<TableFile | undefined> {
    let kept = false;
    try {
      const end = await readEnd(fd);
      const checked = end === undefined ? undefined : await verify(fd, end, { key, filtered: true });
      if (end === undefined || checked === undefined) return undefined;
      const { layout, filter } = checked;
      const file = new TableFile(path, end.covers, { fd, path, layout, filter: filter?.memory }, filter);
      kept = true;
      return file;
    } catch (error) {
      // Whatever is wrong with the bytes, the blob is fetched again.
      if (!(error instanceof DrayError) && !isSystemError(error)) throw error;
      return undefined;
    } finally {
      if (!kept) closeSync(fd);
    }
  }

  /**
   * Verifies once more: what was read since the last time was whole, unless the disk changed its mind twice.
   * @throws {RepositoryError} `index-cache` when it is not what it was
   */
  async verifyAgain(key: Uint8Array): Promise<void> {
    const { fd } = this.location;
    let cause: unknown;
    try {
      const end = await readEnd(fd);
      if (end !== undefined && (await verify(fd, end, { key })) !== undefined) return;
    } catch (error) {
      if (!(error instanceof DrayError) && !isSystemError(error)) throw error;
      cause = error;
    }
    throw damagedTable(this.path, { cause });
  }

  /** Keeps the table open until `release`. */
  retain(): this {
    this.#users++;
    return this;
  }

  /** The last one closes. */
  release(): void {
    if (--this.#users > 0) return;
    this.#bytes.detach();
    closeSync(this.location.fd);
  }
}

interface TableEnd {
  readonly covers: readonly BlobId[];
  readonly indexBytes: number;
  /** Position of the checksum. */
  readonly macAt: number;
}

/** What a file says that it covers. Nothing is verified yet. @returns undefined when it is no table file */
export async function readEnd(fd: number): Promise<TableEnd | undefined> {
  const fileBytes = fstatSync(fd).size;
  if (fileBytes < endBytes) return undefined;
  const end = await readAt(fd, fileBytes - endBytes, endBytes);
  const coverBytes = end.readUInt32BE(0);
  const indexBytes = fileBytes - endBytes - coverBytes;
  if (!end.subarray(4, 4 + magic.length).equals(magic) || coverBytes > coverBytesMax || indexBytes < 0)
    return undefined;
  const covers = parseCovers(await readAt(fd, indexBytes, coverBytes));
  return covers === undefined ? undefined : { covers, indexBytes, macAt: fileBytes - macBytes };
}

/** What follows the index. `hasher` has seen the index; it is finished here. */
export function encodeEnd(covers: readonly BlobId[], hasher: Blake3Hasher): Buffer {
  const names = Buffer.from(JSON.stringify(covers), 'latin1');
  const length = Buffer.alloc(4);
  length.writeUInt32BE(names.length);
  const end = Buffer.concat([names, length, magic]);
  return Buffer.concat([end, hasher.update(end).digestBuffer()]);
}

export function tableHasher(key: Uint8Array): Blake3Hasher {
  return Blake3Hasher.newKeyed(Buffer.from(key));
}

async function verify(
  fd: number,
  { indexBytes, macAt }: TableEnd,
  { key, filtered = false }: { readonly key: Uint8Array; readonly filtered?: boolean },
): Promise<{ readonly layout: IndexLayout; readonly filter: KeyFilter | undefined } | undefined> {
  const head = await readAt(fd, 0, Math.min(indexHeaderBytes, indexBytes));
  const layout = parseIndexLayout(head, indexBytes);
  const filter = filtered ? KeyFilter.allocate(layout) : undefined;
  const hasher = tableHasher(key);
  const { entriesAt, stride, count } = layout;
  const entriesEnd = entriesAt + count * stride;
  // Entries are read in whole ones, so that the filter can be filled on the way.
  const entriesRead = Math.max(1, Math.floor(verifyReadBytes / stride)) * stride;
  const buffer = Buffer.alloc(Math.min(Math.max(entriesRead, verifyReadBytes), macAt));
  for (let at = 0; at < macAt;) {
    const inEntries = at >= entriesAt && at < entriesEnd;
    const stop = at < entriesAt ? entriesAt : inEntries ? Math.min(entriesEnd, at + entriesRead) : macAt;
    const piece = await readInto(fd, at, buffer.subarray(0, Math.min(stop - at, buffer.length)));
    hasher.update(piece);
    if (inEntries) filter?.addAll(piece, { count: piece.length / stride, stride });
    at += piece.length;
  }
  const mac = await readAt(fd, macAt, macBytes);
  return hasher.digestBuffer().equals(mac) ? { layout, filter } : undefined;
}

async function readAt(fd: number, at: number, lengthBytes: number): Promise<Buffer> {
  return await readInto(fd, at, Buffer.alloc(lengthBytes));
}

/** Fills `into`, or less when the file has become shorter; the checksum notices. */
async function readInto(fd: number, at: number, into: Buffer): Promise<Buffer> {
  let done = 0;
  while (done < into.length) {
    const { bytesRead } = await readFd(fd, into, done, into.length - done, at + done);
    if (bytesRead === 0) throw Object.assign(new Error('the file became shorter'), { code: 'EIO' });
    done += bytesRead;
  }
  return into;
}

function parseCovers(json: Buffer): BlobId[] | undefined {
  try {
    const names: unknown = JSON.parse(json.toString('latin1'));
    return Array.isArray(names) ? names.map((name) => blobId(String(name))) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof DrayError) return undefined;
    throw error;
  }
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'code' in error;
}
