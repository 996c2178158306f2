/**
 * The blobs of an index without epochs, what each compaction log says, and which blobs count: all but those that a log
 * replaces whose outputs are all there.
 */
import type { BlobId, BlobMetadata, BlobStore } from '../../blobs/blob-store.ts';
import { ifThere } from '../../blobs/if-there.ts';
import type { ContentCodec } from '../content/content-codec.ts';
import { decodeCompactionLog, type CompactionLog } from './compaction-log.ts';

/** What an upgrade leaves, so that programs that know no epochs stop reading; it is no index. */
const poison = 'n00000000000000000000000000000000-repository_unreadable_by_this_kopia_version_upgrade_required';
const logsAtOnce = 8;

export interface StoredLog extends CompactionLog {
  readonly id: BlobId;
  readonly timestampMs: number;
}

export interface LegacyView {
  /** All index blobs, replaced ones too. */
  readonly blobs: ReadonlyMap<BlobId, BlobMetadata>;
  readonly logs: ReadonlyMap<BlobId, StoredLog>;
  /** Those whose entries, merged, are the index; sorted. */
  readonly active: readonly BlobId[];
}

export interface LegacyViewOptions {
  /** Read before: a name is a hash of what it names, so a log is read once. */
  readonly known?: ReadonlyMap<BlobId, CompactionLog> | undefined;
  readonly signal: AbortSignal;
}

/** @throws {RepositoryError} `corrupt` for a damaged log; {BlobError} */
export async function readLegacyView(
  { store, codec }: { readonly store: BlobStore; readonly codec: ContentCodec },
  { known, signal }: LegacyViewOptions,
): Promise<LegacyView> {
  // The logs first: a blob that a log of this listing replaces was put before it.
  const names = await Array.fromAsync(store.list('m', { signal }));
  const blobs = new Map<BlobId, BlobMetadata>();
  for await (const blob of store.list('n', { signal })) if (blob.id !== poison) blobs.set(blob.id, blob);
  const logs = new Map<BlobId, StoredLog>();
  const waiting = names.values();
  const read = async (): Promise<void> => {
    for (const { id, timestampMs } of waiting) {
      const log = known?.get(id) ?? (await readLog({ store, codec }, id, signal));
      if (log !== undefined) logs.set(id, { inputs: log.inputs, outputs: log.outputs, id, timestampMs });
    }
  };
  await Promise.all(Array.from({ length: logsAtOnce }, read));
  return { blobs, logs, active: activeOf(blobs, logs.values()) };
}

/** Undefined when a later compaction has removed it since. */
async function readLog(
  { store, codec }: { readonly store: BlobStore; readonly codec: ContentCodec },
  name: BlobId,
  signal: AbortSignal,
): Promise<CompactionLog | undefined> {
  const sealed = await ifThere(store.get(name, { signal }));
  return sealed && decodeCompactionLog(name, codec.openNamed(name, sealed));
}

/** Whether an output is replaced itself does not matter. */
function activeOf(present: ReadonlyMap<BlobId, unknown>, logs: Iterable<CompactionLog>): BlobId[] {
  const replaced = new Set<BlobId>();
  for (const { inputs, outputs } of logs) {
    if (outputs.every((blob) => present.has(blob))) for (const blob of inputs) replaced.add(blob);
  }
  return [...new Set(present.keys()).difference(replaced)].toSorted();
}
