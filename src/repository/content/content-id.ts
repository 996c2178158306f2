/** Content ids: `[prefix] + hex(hash)` (Kopia `repo/content/index/id.go`). Odd length means a prefix, one letter `g`..`z`. */
import { RepositoryError } from '../repository-error.ts';

declare const brand: unique symbol;

export type ContentId = string & { readonly [brand]: 'ContentId' };

/** `''` file data, `k` directories, `x` chunk lists, `m` manifests; foreign repositories may use any of `g`..`z`. */
export type ContentPrefix = string;

const pattern = /^[g-z]?(?:[0-9a-f]{2}){1,32}$/;

/** @throws {RepositoryError} `corrupt` when the text is no content id. */
export function contentId(text: string): ContentId {
  if (!pattern.test(text))
    throw new RepositoryError('corrupt', `not a content id: ${JSON.stringify(text.slice(0, 80))}`);
  return text as ContentId;
}

export function contentIdOf(prefix: ContentPrefix, hash: Uint8Array): ContentId {
  return (prefix + Buffer.from(hash.buffer, hash.byteOffset, hash.byteLength).toString('hex')) as ContentId;
}

export function prefixOf(id: ContentId): ContentPrefix {
  return id.length % 2 === 1 ? id.slice(0, 1) : '';
}

export function hashOf(id: ContentId): Buffer {
  return Buffer.from(id.length % 2 === 1 ? id.slice(1) : id, 'hex');
}

/** The index key: prefix byte (0 when none) and hash. Everything in the format is sorted bytewise by it. */
export function contentKey(id: ContentId): Buffer {
  const hash = hashOf(id);
  const key = Buffer.allocUnsafe(1 + hash.length);
  key[0] = id.length % 2 === 1 ? id.charCodeAt(0) : 0;
  hash.copy(key, 1);
  return key;
}

export function contentIdFromKey(key: Uint8Array): ContentId {
  const prefix = key[0] === 0 ? '' : String.fromCharCode(key[0]!);
  return contentIdOf(prefix, key.subarray(1));
}
