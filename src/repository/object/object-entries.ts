/**
 * Reading lists: the entries of one indirect object as a stream, however its list was cut. A list that is itself
 * indirect (`IIx…`) is read chunk by chunk and never held whole.
 */
import { decompressChunk } from '../content/compression.ts';
import { RepositoryError } from '../repository-error.ts';
import type { ContentReader } from './content-access.ts';
import { IndirectParser } from './indirect.ts';
import type { IndirectEntry } from './indirect.ts';
import { contentOf, directContent, isCompressed, isIndirect, listOf } from './object-id.ts';
import type { ObjectId } from './object-id.ts';

/** No splitter makes longer chunks (Kopia's largest: 16 MiB); contents have 28 bits. */
export const chunkBytesMax: number = 16 * 1024 * 1024;

interface ReadOptions {
  readonly signal: AbortSignal;
}

/**
 * Reads a direct object.
 * @throws {RepositoryError} `corrupt`, also when what was compressed is longer than `maxBytes`; `content-missing`
 */
export async function readDirect(
  reader: ContentReader,
  object: ObjectId,
  { maxBytes, ...options }: ReadOptions & { readonly maxBytes: number },
): Promise<Uint8Array> {
  if (!isCompressed(object)) return await reader.read(directContent(object), options);
  return decompressChunk(await reader.read(contentOf(object), options), maxBytes);
}

/** Reads one entry that is a direct object. @throws {RepositoryError} `corrupt` when its length is another one */
export async function readEntry(
  reader: ContentReader,
  entry: IndirectEntry,
  options: ReadOptions,
): Promise<Uint8Array> {
  const bytes = await readDirect(reader, entry.objectId, {
    maxBytes: Math.min(entry.lengthBytes, chunkBytesMax),
    ...options,
  });
  if (bytes.length === entry.lengthBytes) return bytes;
  const found = `content ${entry.objectId} has ${bytes.length} bytes`;
  throw new RepositoryError('corrupt', `${found}, the list that names it says ${entry.lengthBytes}`);
}

/**
 * The direct members of an indirect object, in order, checked to be contiguous; a batch per chunk of its list.
 * Members may be indirect themselves.
 * @throws {RepositoryError} `corrupt`, `content-missing`
 */
export async function* entriesOf(
  reader: ContentReader,
  object: ObjectId,
  options: ReadOptions,
): AsyncGenerator<readonly IndirectEntry[]> {
  const parser = new IndirectParser();
  for await (const piece of listPieces(reader, object, options)) {
    const entries = parser.push(piece);
    if (entries.length > 0) yield entries;
  }
  parser.end();
}

/** The text of an indirect object's list, chunk by chunk. */
async function* listPieces(reader: ContentReader, object: ObjectId, options: ReadOptions): AsyncGenerator<Uint8Array> {
  const list = listOf(object);
  if (list === undefined) throw new RepositoryError('corrupt', `object ${object} has no list`);
  if (!isIndirect(list)) {
    yield await reader.read(directContent(list), options);
    return;
  }
  // Object ids have at most four levels, so this recursion ends. A list's own chunks are always contents: Kopia
  // writes no other, and a nested one would let a small text claim any length.
  for await (const entries of entriesOf(reader, list, options)) {
    for (const entry of entries) yield await readEntry(reader, entry, options);
  }
}
