/**
 * Removes packs that no index entry names, and markers of sessions that are over (Kopia `pack_gc.go`). Nothing younger
 * than a day goes, and nothing of a session that was heard of within four days: a writer may be about to name it.
 *
 * The order makes it safe next to writers. Markers are read first, then packs are listed, then the index is loaded anew:
 * a writer that has ended its session in between had its index in the store before that, and so its packs are named in
 * what is loaded last. (Kopia goes by an index that may be older, and by the age of the packs alone.) Markers are listed
 * once more behind the packs, for one that was being replaced by the next of its session while they were listed first.
 *
 * A crash leaves blobs that the next run removes. Removing needs no room.
 */
import type { BlobId, BlobMetadata, BlobStore } from '../blobs/blob-store.ts';
import { ifThere } from '../blobs/if-there.ts';
import type { ContentCodec } from '../repository/content/content-codec.ts';
import { decodeSessionMarker, sessionIdOf } from '../repository/content/session.ts';
import { RepositoryError } from '../repository/repository-error.ts';
import { jsonObject } from '../std/lossless-json.ts';
import { PackUsage } from './pack-usage.ts';
import { removeBlobs } from './remove-blobs.ts';
import { isRemovable } from './safety.ts';
import { Sum, type TaskContext, type TaskOutcome } from './task.ts';

const packPrefixes = ['p', 'q'];
const sessionPrefix = 's';

export interface DeleteBlobs {
  /** Deleted entries up to this time count as dropped, for a dry run that has not dropped them. */
  readonly dropSeconds?: number | undefined;
  /** Only packs of this kind, and no markers. */
  readonly kind?: 'q' | undefined;
}

export async function deleteBlobs(context: TaskContext, { dropSeconds, kind }: DeleteBlobs = {}): Promise<TaskOutcome> {
  const { repository, startMs, dryRun, signal } = context;
  const { store, codec, index } = repository;
  const sessions = new ActiveSessions(store, codec);
  const markersBefore = await Array.fromAsync(store.list(sessionPrefix, { signal }));
  await sessions.read(markersBefore, { signal });
  const blobs: BlobMetadata[] = [];
  for (const prefix of kind === undefined ? packPrefixes : [kind])
    for await (const blob of store.list(prefix, { signal })) blobs.push(blob);
  const markers = await Array.fromAsync(store.list(sessionPrefix, { signal }));
  await sessions.read(markers, { signal });
  if (kind === undefined) blobs.push(...markers);
  await index.refresh({ signal });
  const usage = new PackUsage();
  for (const { packBlob, packedLength, deleted, timestampSeconds } of index.entries()) {
    if (deleted && dropSeconds !== undefined && timestampSeconds <= dropSeconds) continue;
    usage.add(packBlob, packedLength);
  }
  const [retained, unreferenced] = [new Sum(), new Sum()];
  const candidates: BlobMetadata[] = [];
  for (const blob of blobs) {
    const { id, lengthBytes, timestampMs } = blob;
    if (usage.bytesIn(id) !== undefined) continue;
    const isOld = isRemovable(timestampMs, { startMs, sessionCheckpointMs: sessions.checkpointMs(id) });
    (isOld ? unreferenced : retained).add(lengthBytes);
    if (isOld) candidates.push(blob);
  }
  const { removed, refused } = await removeBlobs(store, candidates, { dryRun, signal });
  const deleted = dryRun ? new Sum() : removed;
  const data = jsonObject({
    unreferencedPackCount: unreferenced.count,
    unreferencedTotalSize: unreferenced.bytes,
    deletedPackCount: deleted.count,
    deletedTotalSize: deleted.bytes,
    retainedPackCount: retained.count,
    retainedTotalSize: retained.bytes,
  });
  const summary = `${candidates.length} packs and markers that nothing names, ${retained.count} more that are too recent`;
  return { extra: { kind: 'deleteUnreferencedPacksStats', data }, summary, removed, refused };
}

/** When each session that has a marker was last heard of. */
class ActiveSessions {
  readonly #store: BlobStore;
  readonly #codec: ContentCodec;
  readonly #read = new Set<BlobId>();
  /** Unix milliseconds. */
  readonly #checkpointMs = new Map<string, number>();

  constructor(store: BlobStore, codec: ContentCodec) {
    this.#store = store;
    this.#codec = codec;
  }

  /** The session of a pack or marker; undefined when it has no marker, or names none. */
  checkpointMs(blob: BlobId): number | undefined {
    return this.#checkpointMs.get(sessionIdOf(blob) ?? '');
  }

  /** @throws {RepositoryError} `corrupt` when a marker cannot be read: then nobody knows whose packs to keep */
  async read(markers: readonly BlobMetadata[], { signal }: { readonly signal: AbortSignal }): Promise<void> {
    for (const { id } of markers) {
      if (this.#read.has(id)) continue;
      const session = sessionIdOf(id);
      if (session === undefined) throw new RepositoryError('corrupt', `${id} is no session marker`);
      const sealed = await ifThere(this.#store.get(id, { signal }));
      // Its writer has ended meanwhile.
      if (sealed === undefined) continue;
      this.#read.add(id);
      const { checkpointTimeMs } = decodeSessionMarker(this.#codec, id, sealed);
      const known = this.#checkpointMs.get(session) ?? checkpointTimeMs;
      this.#checkpointMs.set(session, Math.max(checkpointTimeMs, known));
    }
  }
}
