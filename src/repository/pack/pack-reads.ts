/** Which stretches of packs to read for a list of contents: neighbours in a pack travel together. */
import type { BlobId } from '../../blobs/blob-store.ts';
import type { IndexEntry } from '../index/index-entry.ts';

export interface PackReadLimits {
  /** One request covers at most this much, unless a single content is larger. */
  readonly readBytesMax: number;
  /** Foreign bytes between two contents that are cheaper to read than a second request. */
  readonly gapBytesMax: number;
}

/** For readers that wait for the first of them. */
const promptLimits: PackReadLimits = { readBytesMax: 4 * 1024 * 1024, gapBytesMax: 64 * 1024 };

export interface PackRead<Located> {
  readonly blob: BlobId;
  readonly offset: number;
  readonly lengthBytes: number;
  /** By position in the pack. */
  readonly contents: readonly Located[];
}

export function packReads<Located extends { readonly entry: IndexEntry }>(
  located: readonly Located[],
  { readBytesMax, gapBytesMax }: PackReadLimits = promptLimits,
): PackRead<Located>[] {
  const sorted = [...located].sort((a, b) =>
    a.entry.packBlob === b.entry.packBlob
      ? a.entry.packOffset - b.entry.packOffset
      : a.entry.packBlob < b.entry.packBlob
        ? -1
        : 1,
  );
  const reads: { blob: BlobId; offset: number; lengthBytes: number; contents: Located[] }[] = [];
  for (const item of sorted) {
    const { packBlob, packOffset, packedLength } = item.entry;
    const read = reads[reads.length - 1];
    const end = packOffset + packedLength;
    const joins =
      read !== undefined &&
      read.blob === packBlob &&
      packOffset <= read.offset + read.lengthBytes + gapBytesMax &&
      end - read.offset <= readBytesMax;
    if (joins) {
      read.lengthBytes = Math.max(read.lengthBytes, end - read.offset);
      read.contents.push(item);
    } else {
      reads.push({ blob: packBlob, offset: packOffset, lengthBytes: packedLength, contents: [item] });
    }
  }
  return reads;
}
