/** Which stretches of packs to read for a list of contents: neighbours in a pack travel together. */
import type { BlobId } from '../blobs/blob-store.ts';
import type { IndexEntry } from '../repository/index/index-entry.ts';
import type { FetchLeaf } from './fetch-messages.ts';

/** One request covers at most this much, unless a single content is larger. */
const readBytesMax = 4 * 1024 * 1024;
/** Foreign bytes between two contents that are cheaper to read than a second request. */
const gapBytesMax = 64 * 1024;

export interface LocatedLeaf {
  readonly leaf: FetchLeaf;
  readonly entry: IndexEntry;
}

export interface PackRead {
  readonly blob: BlobId;
  readonly offset: number;
  readonly lengthBytes: number;
  /** By position in the pack. */
  readonly contents: readonly LocatedLeaf[];
}

export function packReads(located: readonly LocatedLeaf[]): PackRead[] {
  const sorted = [...located].sort((a, b) =>
    a.entry.packBlob === b.entry.packBlob
      ? a.entry.packOffset - b.entry.packOffset
      : a.entry.packBlob < b.entry.packBlob
        ? -1
        : 1,
  );
  const reads: { blob: BlobId; offset: number; lengthBytes: number; contents: LocatedLeaf[] }[] = [];
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
