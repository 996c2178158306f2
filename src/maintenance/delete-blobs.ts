/**
 * Removes packs that no index entry names, and markers of sessions that are over (Kopia `pack_gc.go`). Nothing younger
 * than a day goes, and nothing of a session that was heard of within four days: a writer may be about to name it.
 *
 * The order makes it safe next to writers. Markers are read first, then packs are listed, then the index is loaded anew:
 * a writer that has ended its session in between had its index in the store before that, and so its packs are named in
 * what is loaded last. (Kopia goes by an index that may be older, and by the age of the packs alone.)
 *
 * A crash leaves blobs that the next run removes. Removing needs no room.
 */
import type { BlobId, BlobMetadata, BlobStore } from '../blobs/blob-store.ts';
import type { ContentCodec } from '../repository/content/content-codec.ts';
import { decodeSessionMarker, sessionIdOf } from '../repository/content/session.ts';
import { RepositoryError } from '../repository/repository-error.ts';
import { hasCode } from '../std/dray-error.ts';
import { jsonObject } from '../std/lossless-json.ts';
import { PackUsage } from './pack-usage.ts';
import { removeBlobs } from './remove-blobs.ts';
import { isRemovable } from './safety.ts';
import { Sum, type TaskContext, type TaskOutcome } from './task.ts';

const packPrefixes = ['p', 'q'];
const sessionPrefix = 's';

/** @param dropSeconds deleted entries up to this time count as dropped, for a dry run that has not dropped them */
export async function deleteBlobs(context: TaskContext, dropSeconds?: number): Promise<TaskOutcome> {
  const { repository, startMs, dryRun, signal } = context;
  const { store, codec, index } = repository;
  const sessions = await activeSessions(store, codec, { signal });
  const [retained, unreferenced] = [new Sum(), new Sum()];
  const isOld = ({ id, timestampMs }: BlobMetadata): boolean => {
    const sessionCheckpointMs = sessions.get(sessionIdOf(id) ?? '');
    return isRemovable(timestampMs, { startMs, sessionCheckpointMs });
  };
  const old: BlobMetadata[] = [];
  const young: BlobMetadata[] = [];
  for (const prefix of [...packPrefixes, sessionPrefix]) {
    for await (const blob of store.list(prefix, { signal })) (isOld(blob) ? old : young).push(blob);
  }
  await index.refresh({ signal });
  const usage = new PackUsage();
  for (const { packBlob, packedLength, deleted, timestampSeconds } of index.entries()) {
    if (deleted && dropSeconds !== undefined && timestampSeconds <= dropSeconds) continue;
    usage.add(packBlob, packedLength);
  }
  const isUnused = ({ id }: BlobMetadata): boolean => usage.bytesIn(id) === undefined;
  const candidates = old.filter(isUnused);
  for (const { lengthBytes } of candidates) unreferenced.add(lengthBytes);
  for (const { lengthBytes } of young.filter(isUnused)) retained.add(lengthBytes);
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

/**
 * When each session that has a marker was last heard of, Unix milliseconds.
 * @throws {RepositoryError} `corrupt` when a marker cannot be read: then nobody knows whose packs to keep
 */
async function activeSessions(
  store: BlobStore,
  codec: ContentCodec,
  { signal }: { readonly signal: AbortSignal },
): Promise<ReadonlyMap<string, number>> {
  const sessions = new Map<string, number>();
  for await (const { id } of store.list(sessionPrefix, { signal })) {
    const session = sessionIdOf(id);
    if (session === undefined) throw new RepositoryError('corrupt', `${id} is no session marker`);
    const sealed = await getIfThere(store, id, signal);
    // Its writer has ended meanwhile.
    if (sealed === undefined) continue;
    const { checkpointTimeMs } = decodeSessionMarker(codec, id, sealed);
    sessions.set(session, Math.max(checkpointTimeMs, sessions.get(session) ?? checkpointTimeMs));
  }
  return sessions;
}

async function getIfThere(store: BlobStore, id: BlobId, signal: AbortSignal): Promise<Uint8Array | undefined> {
  try {
    return await store.get(id, { signal });
  } catch (error) {
    if (hasCode(error, 'blob-not-found')) return undefined;
    throw error;
  }
}
