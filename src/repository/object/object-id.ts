/**
 * Object ids: `I`* [`Z`] [`D`] content id (Kopia `repo/object/objectid.go`). Each `I` says "the rest names a list of
 * objects"; `Z` marks object-level compression of old repositories; `D` is legacy and dropped.
 */
import { contentId } from '../content/content-id.ts';
import type { ContentId } from '../content/content-id.ts';
import { RepositoryError } from '../repository-error.ts';

declare const brand: unique symbol;

/** Canonical text of an object id: a direct object is simply its content id. */
export type ObjectId = string & { readonly [brand]: 'ObjectId' };

/** More levels than any list of 2^53 bytes needs; a bound on recursion. */
const indirectionMax = 4;

/** @throws {RepositoryError} `corrupt` when the text is no object id or has more than 4 levels. */
export function objectId(text: string): ObjectId {
  const levels = indirectionOf(text);
  let rest = text.slice(levels);
  const compressed = rest.startsWith('Z');
  if (compressed) rest = rest.slice(1);
  if (rest.startsWith('D')) rest = rest.slice(1);
  if (levels > indirectionMax || (compressed && levels > 0)) {
    throw new RepositoryError('corrupt', `not an object id: ${JSON.stringify(text.slice(0, 80))}`);
  }
  return ('I'.repeat(levels) + (compressed ? 'Z' : '') + contentId(rest)) as ObjectId;
}

export function directObjectId(id: ContentId): ObjectId {
  return id as string as ObjectId;
}

/** The object whose chunks are named by the list object `list`. */
export function indirectObjectId(list: ObjectId): ObjectId {
  return `I${list}` as ObjectId;
}

export function isIndirect(id: ObjectId): boolean {
  return id.startsWith('I');
}

/** The list object of an indirect object, undefined for a direct one. */
export function listOf(id: ObjectId): ObjectId | undefined {
  return isIndirect(id) ? (id.slice(1) as ObjectId) : undefined;
}

/**
 * The content that is a direct object.
 * @throws {RepositoryError} `unsupported` for an object with object-level compression.
 */
export function directContent(id: ObjectId): ContentId {
  if (id.startsWith('Z')) throw new RepositoryError('unsupported', `object ${id} has object-level compression`);
  return id as string as ContentId;
}

/** Whether the content is the compressed form of the object's bytes (format version 1). */
export function isCompressed(id: ObjectId): boolean {
  return id.startsWith('Z');
}

/** The one content id inside an object id of any level. */
export function contentOf(id: ObjectId): ContentId {
  return id.replace(/^I*Z?/, '') as ContentId;
}

function indirectionOf(text: string): number {
  let levels = 0;
  while (levels <= indirectionMax && text.charCodeAt(levels) === 0x49) levels += 1;
  return levels;
}
