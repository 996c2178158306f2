/**
 * Removes index blobs that were merged long ago, where there are no epochs, and the logs that say so
 * (Kopia `index_blob_manager_v0.go` deleteOldBlobs, cleanup). What goes, and what behind what, is said in `legacy-plans.ts`.
 *
 * Durable when: the index blobs are gone before the entry that schedules their logs is put, and the logs before that entry
 * goes. A crash leaves a log that replaces nothing any more, or an entry that names a log that is gone.
 */
import type { BlobStore } from '../blobs/blob-store.ts';
import { ifThere } from '../blobs/if-there.ts';
import type { ContentCodec } from '../repository/content/content-codec.ts';
import { decodeCleanupEntry, encodeCleanupEntry } from '../repository/index/cleanup-entry.ts';
import { readLegacyView, type StoredLog } from '../repository/index/legacy-view.ts';
import { hasCode } from '../std/dray-error.ts';
import { nanosecondsFromMs } from '../std/go-time.ts';
import { cleanupsToFinish, replacedBlobs, type StoredCleanup } from './legacy-plans.ts';
import { removeBlobs, type Removal } from './remove-blobs.ts';
import { Sum, type Refused, type TaskContext } from './task.ts';

const cleanupPrefix = 'l';

/** @param nowMs the store's time, or an earlier one */
export async function removeReplaced(context: TaskContext, nowMs: number): Promise<Removal> {
  const { repository, dryRun, signal } = context;
  const { store, codec } = repository;
  const removals = new Removals(store, context);
  const cleanups = await readCleanups(repository, signal);
  const view = await readLegacyView(repository, { signal });
  const { logs, cleanups: over } = cleanupsToFinish(view, cleanups, { nowMs });
  if (await removals.remove(logs.map((id) => ({ id, lengthBytes: 0 })))) await removals.remove(over);
  const stays = new Set<StoredLog>();
  const done: StoredLog[] = [];
  for (const { log, blobs, makers } of replacedBlobs(view, { nowMs })) {
    const isGone = !makers.some((maker) => stays.has(maker)) && (await removals.remove(blobs));
    if (isGone) done.push(log);
    else stays.add(log);
  }
  const scheduled = new Set(cleanups.flatMap((cleanup) => cleanup.logs));
  const toSchedule = done.map(({ id }) => id).filter((id) => !scheduled.has(id));
  if (toSchedule.length === 0 || dryRun) return removals;
  const entry = encodeCleanupEntry({ logs: toSchedule, scheduled: nanosecondsFromMs(nowMs) });
  const { id, bytes } = codec.sealNamed(cleanupPrefix, '', entry);
  try {
    await store.put(id, bytes, { signal });
  } catch (error) {
    // On a full store removing goes on; a later run schedules them.
    if (!hasCode(error, 'blob-no-space')) throw error;
  }
  return removals;
}

/** Several removals, told together. */
class Removals implements Removal {
  readonly removed = new Sum();
  refused: Refused | undefined;
  readonly #store: BlobStore;
  readonly #options: Parameters<typeof removeBlobs>[2];

  constructor(store: BlobStore, options: Parameters<typeof removeBlobs>[2]) {
    this.#store = store;
    this.#options = options;
  }

  /** @returns whether all of them are gone, or with a dry run would be */
  async remove(blobs: Parameters<typeof removeBlobs>[1]): Promise<boolean> {
    const { removed, refused } = await removeBlobs(this.#store, blobs, this.#options);
    this.removed.count += removed.count;
    this.removed.bytes += removed.bytes;
    if (refused === undefined) return true;
    this.refused = {
      count: (this.refused?.count ?? 0) + refused.count,
      reason: this.refused?.reason ?? refused.reason,
    };
    return false;
  }
}

async function readCleanups(
  { store, codec }: { readonly store: BlobStore; readonly codec: ContentCodec },
  signal: AbortSignal,
): Promise<StoredCleanup[]> {
  const cleanups: StoredCleanup[] = [];
  for (const blob of await Array.fromAsync(store.list(cleanupPrefix, { signal }))) {
    const sealed = await ifThere(store.get(blob.id, { signal }));
    // Another maintainer has finished it meanwhile.
    if (sealed === undefined) continue;
    cleanups.push({ blob, ...decodeCleanupEntry(blob.id, codec.openNamed(blob.id, sealed)) });
  }
  return cleanups;
}
