/**
 * Where things stand inside one index (Kopia `repo/content/index`), as its header says and as its length allows. The
 * bytes come from a repository and are trusted by nobody: every count is checked against the length of the index before
 * anything is read or allocated for it. A layout is plain data, so that it can be sent to a worker.
 */
import { RepositoryError } from '../repository-error.ts';
import { decodeValueV1, parseLayoutV1 } from './index-v1.ts';
import { decodeValueV2, parseLayoutV2 } from './index-v2.ts';

export interface IndexLayout {
  readonly version: 1 | 2;
  /** Bytes of the index itself; offsets of pack names must stay below. Trailing random bytes may be included. */
  readonly indexBytes: number;
  /** Prefix byte and hash. */
  readonly keySize: number;
  /** Key and value. */
  readonly stride: number;
  readonly count: number;
  /** Position of the first entry. */
  readonly entriesAt: number;
  /** Version 2: the table of pack names, 5 bytes each. Zero in version 1. */
  readonly packsAt: number;
  readonly packCount: number;
  /** Version 2: the content formats, 6 bytes each. Zero in version 1. */
  readonly formatsAt: number;
  readonly formatCount: number;
  /** Added to the time of each entry. */
  readonly baseTimestampSeconds: number;
}

/** What version 2 keeps once for all entries that share it. */
export interface EntryFormat {
  readonly compression: number;
  readonly formatVersion: number;
  readonly encryptionKeyId: number;
}

/** The fixed-size part of an entry, decoded into a scratch object that is used again and again. */
export interface IndexValue {
  timestampSeconds: number;
  deleted: boolean;
  packOffset: number;
  packedLength: number;
  originalLength: number;
  /** Version 2: number of the pack. Version 1: position of the pack's name. */
  pack: number;
  /** Version 1 only. */
  packNameLength: number;
  /** Version 2: number of the format. Version 1: the format version itself. */
  format: number;
}

export function emptyIndexValue(): IndexValue {
  return {
    timestampSeconds: 0,
    deleted: false,
    packOffset: 0,
    packedLength: 0,
    originalLength: 0,
    pack: 0,
    packNameLength: 0,
    format: 0,
  };
}

/** Bytes of the longest header; the head handed to `parseIndexLayout` is at most this long. */
export const indexHeaderBytes = 17;

/**
 * @param head the first bytes of the index, 17 or as many as there are
 * @param indexBytes the length of the whole index
 * @throws {RepositoryError} `corrupt`
 */
export function parseIndexLayout(head: Uint8Array, indexBytes: number): IndexLayout {
  const version = head[0];
  if (version === 1) return parseLayoutV1(head, indexBytes);
  if (version === 2) return parseLayoutV2(head, indexBytes);
  throw new RepositoryError('corrupt', `an index of version ${version ?? 'none, it is empty'}`);
}

/** Decodes the value whose key ends at `at`. The caller has checked that the whole value is inside `bytes`. */
export function decodeIndexValue(layout: IndexLayout, bytes: Uint8Array, at: number, into: IndexValue): void {
  if (layout.version === 1) decodeValueV1(bytes, at, into);
  else decodeValueV2(layout, bytes, at, into);
}
