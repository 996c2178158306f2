/**
 * The index blobs that this process has flushed, and which of them to merge. A run flushes every few minutes, or
 * oftener; without merging, thousands of flushes would leave thousands of blobs for every reader to fetch.
 *
 * Eight blobs of about the same size (a tier: sizes within a factor of 8) and of the present write epoch become one. So
 * few are left, and every entry is written again once per tier. Large blobs stay as they are: that bounds what a merge
 * holds in memory and sends again.
 */
import type { BlobId } from '../../blobs/blob-store.ts';
import { epochOf } from './epochs.ts';

export const blobsPerMerge = 8;
/** Blobs of this size and above are not merged again, bytes. A merge is at most eight times that. */
const mergedBytesMax = 2 * 1024 * 1024;

export class OwnBlobs {
  readonly #lengthBytes = new Map<BlobId, number>();

  get ids(): readonly BlobId[] {
    return [...this.#lengthBytes.keys()];
  }

  has(blob: BlobId): boolean {
    return this.#lengthBytes.has(blob);
  }

  add(blob: BlobId, lengthBytes: number): void {
    this.#lengthBytes.set(blob, lengthBytes);
  }

  forget(blobs: Iterable<BlobId>): void {
    for (const blob of blobs) this.#lengthBytes.delete(blob);
  }

  /** The next eight to merge, from the lowest tier that has as many. */
  nextMerge(writeEpoch: number): readonly BlobId[] | undefined {
    const tiers = new Map<number, BlobId[]>();
    for (const [blob, lengthBytes] of this.#lengthBytes) {
      if (epochOf(blob) !== writeEpoch || lengthBytes >= mergedBytesMax) continue;
      const tier = tierOf(lengthBytes);
      const blobs = tiers.get(tier) ?? [];
      blobs.push(blob);
      tiers.set(tier, blobs);
    }
    const full = [...tiers].filter(([, blobs]) => blobs.length >= blobsPerMerge).toSorted(([a], [b]) => a - b);
    return full[0]?.[1].slice(0, blobsPerMerge);
  }
}

function tierOf(lengthBytes: number): number {
  return Math.floor((32 - Math.clz32(lengthBytes)) / 3);
}
