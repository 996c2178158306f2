/**
 * Marks contents that no snapshot needs as deleted, and takes the mark off those that one needs after all (Kopia
 * `snapshotgc/gc.go`). Unfinished snapshots count: they protect what a running backup has stored so far.
 *
 * The order: the snapshots of one moment are walked first, whole; any that cannot be walked, and any manifest that cannot be
 * understood, ends the task before a single mark. Then the index of that same moment is gone through. A snapshot that
 * comes into being meanwhile is not seen; what of it is marked here the next collection unmarks, and nothing marked is
 * dropped before that (`safety.ts`).
 *
 * Durable when: marks, and contents written again, with each flush of `maintenance-writer.ts`; a crash leaves some of the
 * marks, each of them right.
 */
import type { IndexEntry } from '../repository/index/index-entry.ts';
import { ManifestStore } from '../repository/manifest/manifest-store.ts';
import { listSnapshots } from '../repository/manifest/snapshot.ts';
import { RepositoryError } from '../repository/repository-error.ts';
import { jsonObject } from '../std/lossless-json.ts';
import { copyContents } from './copy-contents.ts';
import { MaintenanceWriter } from './maintenance-writer.ts';
import { MetadataSpool } from './metadata-spool.ts';
import { isCollectable } from './safety.ts';
import { Sum, type TaskContext, type TaskOutcome } from './task.ts';
import { UsedContents } from './used-contents.ts';

/** What manifests are: they belong to no snapshot, and go when they are compacted. */
const systemPrefix = 'm';
/** Contents to write again that are held before they are. */
const undeletesHeld = 20_000;

export async function snapshotGc(context: TaskContext): Promise<TaskOutcome> {
  const { repository, clock, rng, spoolFolder, signal } = context;
  const { store, codec, index } = repository;
  await using spool = await MetadataSpool.open({ store, codec, index }, { folder: spoolFolder });
  const set = await new ManifestStore({ reader: spool, index, clock, rng }).load({ signal });
  const { snapshots, damaged } = listSnapshots(set);
  if (damaged[0] !== undefined) {
    const what = `snapshot manifest ${damaged[0].id} cannot be understood, so nobody can tell what it needs`;
    throw new RepositoryError('corrupt', what, { cause: damaged[0].error });
  }
  // After the manifests: whatever they name was in the index before them.
  using marks = index.marks();
  const used = new UsedContents(spool, marks, { signal });
  for (const snapshot of snapshots) await used.addSnapshot(snapshot);
  return await sweep(context, marks.entries(), spool);
}

/** What the pass over the index has come to, in Kopia's words. */
class Counts {
  readonly unreferenced = new Sum();
  readonly recent = new Sum();
  readonly inUse = new Sum();
  readonly system = new Sum();
  readonly recovered = new Sum();
  /** Of the unreferenced, those that were not marked before. */
  readonly marked = new Sum();
}

async function sweep(
  context: TaskContext,
  entries: Iterable<{ readonly entry: IndexEntry; readonly used: boolean }>,
  spool: MetadataSpool,
): Promise<TaskOutcome> {
  const { repository, startMs, dryRun, signal } = context;
  await using writer = new MaintenanceWriter(context, { signal });
  const counts = new Counts();
  let undelete: IndexEntry[] = [];
  const flushUndeletes = async (): Promise<void> => {
    const source = { store: repository.store, spool };
    if (!dryRun) await copyContents(source, writer, undelete, { deleted: () => false, signal });
    undelete = [];
  };
  for (const { entry, used } of entries) {
    signal.throwIfAborted();
    switch (verdict(entry, { used, startMs })) {
      case 'system':
        counts.system.add(entry.packedLength);
        break;
      case 'recover':
        counts.recovered.add(entry.packedLength);
        counts.inUse.add(entry.packedLength);
        if (undelete.push(entry) >= undeletesHeld) await flushUndeletes();
        break;
      case 'keep':
        counts.inUse.add(entry.packedLength);
        break;
      case 'recent':
        counts.recent.add(entry.packedLength);
        break;
      case 'marked':
        counts.unreferenced.add(entry.packedLength);
        break;
      case 'mark':
        counts.unreferenced.add(entry.packedLength);
        counts.marked.add(entry.packedLength);
        if (!dryRun) await writer.delete(entry);
        break;
    }
  }
  await flushUndeletes();
  await writer.finish();
  return outcome(counts);
}

export type Verdict = 'system' | 'recover' | 'keep' | 'recent' | 'marked' | 'mark';

/** What becomes of a content. */
export function verdict(
  { contentId, deleted, timestampSeconds }: Pick<IndexEntry, 'contentId' | 'deleted' | 'timestampSeconds'>,
  { used, startMs }: { readonly used: boolean; readonly startMs: number },
): Verdict {
  if (contentId.startsWith(systemPrefix)) return 'system';
  if (used) return deleted ? 'recover' : 'keep';
  if (!isCollectable(timestampSeconds * 1000, { startMs })) return 'recent';
  return deleted ? 'marked' : 'mark';
}

function outcome({ unreferenced, recent, inUse, system, recovered, marked }: Counts): TaskOutcome {
  const data = jsonObject({
    unreferencedContentCount: unreferenced.count,
    unreferencedContentSize: unreferenced.bytes,
    deletedContentCount: unreferenced.count,
    deletedContentSize: unreferenced.bytes,
    unreferencedRecentContentCount: recent.count,
    unreferencedRecentContentSize: recent.bytes,
    inUseContentCount: inUse.count,
    inUseContentSize: inUse.bytes,
    inUseSystemContentCount: system.count,
    inUseSystemContentSize: system.bytes,
    recoveredContentCount: recovered.count,
    recoveredContentSize: recovered.bytes,
  });
  const summary =
    `${inUse.count} contents are in use, ${marked.count} newly unused, ${unreferenced.count - marked.count} known to be, ` +
    `${recent.count} unused but recent, ${recovered.count} in use again`;
  return { extra: { kind: 'snapshotGCStats', data }, summary, marked };
}
