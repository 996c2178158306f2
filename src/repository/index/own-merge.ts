/**
 * Merging what we have flushed. A long run flushes thousands of times. When eight blobs of the same size class, of this
 * process and of the present write epoch have come together, one blob that says all they say is put, and some time after
 * it is durable the eight are removed (`replaced-blobs.ts`). That is safe next to Kopia, and next to ourselves:
 * - Maintenance merges an epoch only when two newer ones have begun, which takes a day each. We merge, and remove, only
 *   in the epoch that is being written, and ask for it again after each put of a merged blob and before any removal.
 * - Whoever lists in between sees the eight and the one: duplicates are normal. Whoever has listed long before, and finds
 *   one of the eight gone, lists again.
 * - A crash at any point leaves the superset, or some of the eight, or both. Nothing is ever removed that is not
 *   contained in a durable blob of the same epoch. Deleted entries are kept in merges like all others.
 * - When a removal is denied (an append-only store) the duplicates stay for maintenance.
 */
import { BlobError, type BlobId, type BlobStore } from '../../blobs/blob-store.ts';
import { ifThere } from '../../blobs/if-there.ts';
import { hasCode } from '../../std/dray-error.ts';
import type { ContentCodec, NamedBlob } from '../content/content-codec.ts';
import { encodeCursor, joinPieces } from './encode-index.ts';
import type { IndexCache } from './index-cache.ts';
import type { IndexTables } from './index-tables.ts';
import { MergeCursor } from './merge.ts';
import type { TableFile } from './table-file.ts';

export interface OwnMergeParts {
  readonly store: BlobStore;
  readonly codec: ContentCodec;
  readonly cache: IndexCache;
  readonly tables: IndexTables;
  readonly indexVersion: 1 | 2;
}

export interface OwnMerge {
  /** The one that is being written. */
  readonly epoch: number;
  readonly sessionId: string;
  readonly signal: AbortSignal;
}

/** A blob that says what several said, with its plaintext; or the one of them that was not there any more. */
export type MergedBlob = (NamedBlob & { readonly plain: Uint8Array }) | { readonly gone: BlobId };

/** Nothing is removed. @throws {RepositoryError} `index-cache`, `corrupt`; {BlobError} */
export async function putMerged(
  { store, codec, cache, tables, indexVersion }: OwnMergeParts,
  blobs: readonly BlobId[],
  { epoch, sessionId, signal }: OwnMerge,
): Promise<MergedBlob> {
  const files: TableFile[] = [];
  try {
    for (const blob of blobs) {
      const file = await ifThere(tables.openBlob(blob, { signal }));
      if (file === undefined) return { gone: blob };
      files.push(file);
    }
    const cursor = (): MergeCursor => new MergeCursor(files.map(({ table }) => table.cursor()));
    const plain = joinPieces(encodeCursor(cursor, indexVersion));
    await cache.verifyAgain(files);
    const named = codec.sealNamed(`xn${epoch}_`, `${sessionId}-c1`, plain);
    await store.put(named.id, named.bytes, { signal });
    return { ...named, plain };
  } catch (error) {
    if (hasCode(error, 'corrupt')) await cache.verifyAgain(files);
    throw error;
  } finally {
    for (const file of files) file.release();
  }
}

/** One that the store keeps stays, as a duplicate. */
export async function removeReplaced(
  store: BlobStore,
  blobs: readonly BlobId[],
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  for (const blob of blobs) {
    try {
      await store.remove(blob, { signal });
    } catch (error) {
      // A store that fails for good fails the next put.
      if (!(error instanceof BlobError)) throw error;
    }
  }
}
