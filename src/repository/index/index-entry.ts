/** What an index says of one content (Kopia `repo/content/index`). */
import type { BlobId } from '../../blobs/blob-store.ts';
import type { ContentId } from '../content/content-id.ts';

export interface IndexEntry {
  readonly contentId: ContentId;
  readonly packBlob: BlobId;
  readonly packOffset: number;
  /** Stored bytes in the pack, encryption overhead included. */
  readonly packedLength: number;
  /** Bytes of the plaintext. Index v1 does not store it: there it is packedLength - 28. */
  readonly originalLength: number;
  /** Compression header id, 0 when stored as it is. */
  readonly compression: number;
  readonly formatVersion: number;
  readonly encryptionKeyId: number;
  readonly deleted: boolean;
  readonly timestampSeconds: number;
}

/**
 * True when `a` wins over `b` for the same content id: later time; then the living; then the greater pack name
 * (Kopia `merged.go`).
 */
export function isBetter(a: IndexEntry, b: IndexEntry): boolean {
  if (a.timestampSeconds !== b.timestampSeconds) return a.timestampSeconds > b.timestampSeconds;
  if (a.deleted !== b.deleted) return !a.deleted;
  return a.packBlob > b.packBlob;
}
