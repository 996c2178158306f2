/** Writing contents once more: each pack is read in as few stretches as its gaps allow, and nothing is read twice. */
import type { BlobStore } from '../blobs/blob-store.ts';
import type { IndexEntry } from '../repository/index/index-entry.ts';
import { packReads, type PackRead } from '../repository/pack/pack-reads.ts';
import { mapConcurrent } from '../std/map-concurrent.ts';
import type { MaintenanceWriter } from './maintenance-writer.ts';
import type { MetadataSpool } from './metadata-spool.ts';

/** A short pack in one request, unless most of it is not wanted. */
const limits = { readBytesMax: 24 * 1024 * 1024, gapBytesMax: 1024 * 1024 };
/** Stretches in memory at once. */
const readsMax = 2;

/** Where the bytes come from: packs that a walk has fetched are read where they are. */
export interface SealedSource {
  readonly store: BlobStore;
  readonly spool?: MetadataSpool | undefined;
}

interface Located {
  readonly entry: IndexEntry;
}

/**
 * @param deleted whether a copy is marked as deleted
 * @throws {RepositoryError} `corrupt` for a content that is not what its id says; {BlobError}
 */
export async function copyContents(
  { store, spool }: SealedSource,
  writer: MaintenanceWriter,
  entries: readonly IndexEntry[],
  { deleted, signal }: { readonly deleted: (entry: IndexEntry) => boolean; readonly signal: AbortSignal },
): Promise<void> {
  const isSpooled = ({ packBlob }: IndexEntry): boolean => spool?.holds(packBlob) === true;
  for (const entry of entries.filter(isSpooled)) {
    await writer.copy(entry, await spool!.sealed(entry, { signal }), { deleted: deleted(entry) });
  }
  const others = entries.filter((entry) => !isSpooled(entry)).map((entry) => ({ entry }));
  const read = async (stretch: PackRead<Located>, call: { readonly signal: AbortSignal }): Promise<Stretch> => {
    const range = { offset: stretch.offset, lengthBytes: stretch.lengthBytes };
    return { ...stretch, bytes: await store.get(stretch.blob, { range, ...call }) };
  };
  for await (const { contents, bytes, offset } of mapConcurrent(
    packReads(others, limits),
    { limit: readsMax, signal },
    read,
  )) {
    for (const { entry } of contents) {
      const at = entry.packOffset - offset;
      await writer.copy(entry, bytes.subarray(at, at + entry.packedLength), { deleted: deleted(entry) });
    }
  }
}

interface Stretch extends PackRead<Located> {
  readonly bytes: Uint8Array;
}
