/**
 * The entries of a directory object as a stream, for directories of any size: in the memory of one content, not of the
 * whole listing. What Kopia prints is taken by a short way, 100,000 entries in a fraction of a second; whatever looks
 * different goes through the schema that `decodeDirectory` uses.
 */
import { parseGoTime } from '../../std/go-time.ts';
import { JsonElements } from '../../std/json-elements.ts';
import { isJsonObject, JsonError } from '../../std/lossless-json.ts';
import type { JsonObject, JsonValue } from '../../std/lossless-json.ts';
import type { ContentReader } from '../object/content-access.ts';
import { entriesOf, readEntry } from '../object/object-entries.ts';
import { directContent, isIndirect, objectId } from '../object/object-id.ts';
import type { ObjectId } from '../object/object-id.ts';
import { RepositoryError } from '../repository-error.ts';
import { decodeDirEntry } from './dir-entry.ts';
import type { DirEntry } from './dir-entry.ts';
import { jsonField } from './json-field.ts';

/** A name of 255 bytes is escaped with six characters each at most; a summary tells of ten errors, with paths. */
const elementBytesMax = 1024 * 1024;
const outerBytesMax = 1024 * 1024;
/** Listings of ten million entries. What lies behind is no directory that a file system could hold. */
const directoryBytesMax = 2 * 1024 * 1024 * 1024;

/**
 * The entries in the order of the listing, a batch per content of it, none empty. Names are well-formed text and
 * otherwise whatever stands there: `entryNameFault` tells which may be used.
 * @throws {RepositoryError} `corrupt`, `content-missing`, `unsupported`: then, too, after what could be read
 */
export async function* directoryEntries(
  reader: ContentReader,
  object: ObjectId,
  options: { readonly signal: AbortSignal },
): AsyncGenerator<readonly DirEntry[]> {
  const elements = new JsonElements({ member: 'entries', elementBytesMax, outerBytesMax });
  let lengthBytes = 0;
  for await (const piece of pieces(reader, object, options)) {
    lengthBytes += piece.length;
    if (lengthBytes > directoryBytesMax) throw corrupt(object, `it is longer than ${directoryBytesMax} bytes`);
    const items = asCorrupt(object, () => elements.push(piece));
    if (items.length > 0) yield items.map(entryOf);
  }
  const { outer } = asCorrupt(object, () => elements.end());
  const stream = isJsonObject(outer) ? jsonField(outer, 'stream') : undefined;
  if (stream !== 'kopia:directory') throw corrupt(object, 'it is no directory');
}

async function* pieces(
  reader: ContentReader,
  object: ObjectId,
  options: { readonly signal: AbortSignal },
): AsyncGenerator<Uint8Array> {
  if (!isIndirect(object)) {
    yield await reader.read(directContent(object), options);
    return;
  }
  for await (const batch of entriesOf(reader, object, options)) {
    for (const entry of batch) {
      // No writer nests them; one that is empty but nested could go on for ever.
      if (isIndirect(entry.objectId)) throw corrupt(object, 'its list is nested');
      if (entry.lengthBytes > 0) yield await readEntry(reader, entry, options);
    }
  }
}

function entryOf(item: unknown): DirEntry {
  const entry = isJsonObject(item) ? quickEntry(item) : undefined;
  return entry ?? wellFormed(decodeDirEntry(item as JsonValue));
}

/** Files and links as Kopia prints them; undefined for anything else. */
function quickEntry({
  name,
  type,
  mode,
  size = 0,
  mtime,
  uid = 0,
  gid = 0,
  obj,
  summ,
}: JsonObject): DirEntry | undefined {
  if (typeof name !== 'string' || typeof mtime !== 'string' || typeof obj !== 'string') return undefined;
  if ((type !== 'f' && type !== 's') || typeof mode !== 'string' || summ !== undefined) return undefined;
  if (!isCount(size) || !isCount(uid) || !isCount(gid) || !/^0[0-7]{1,10}$/.test(mode)) return undefined;
  const modified = parseGoTime(mtime);
  if (modified === undefined) return undefined;
  const bits = Number.parseInt(mode, 8);
  const object = objectId(obj);
  return {
    name: name.toWellFormed(),
    type,
    mode: bits,
    sizeBytes: size,
    modified,
    uid,
    gid,
    object,
    summary: undefined,
  };
}

function isCount(value: JsonValue): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** Go's decoder puts the replacement character where half a surrogate pair is escaped. */
function wellFormed(entry: DirEntry): DirEntry {
  return { ...entry, name: entry.name.toWellFormed() };
}

function asCorrupt<T>(object: ObjectId, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (!(cause instanceof JsonError)) throw cause;
    throw corrupt(object, 'it is malformed', { cause });
  }
}

function corrupt(object: ObjectId, what: string, options?: ErrorOptions): RepositoryError {
  return new RepositoryError('corrupt', `directory ${object}: ${what}`, options);
}
