/**
 * The blobs of an index without epochs, what each compaction log says, and which blobs count: all but those that a log
 * replaces whose outputs are all there, or were themselves replaced so. (Kopia wants them there: when its removals are cut off in
 * the middle, or seen in the middle, blobs count again for it with contents that were dropped since.)
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

function activeOf(present: ReadonlyMap<BlobId, unknown>, logs: Iterable<CompactionLog>): BlobId[] {
  const sound = [...soundLogs(logs, present.keys())];
  const replaced = new Set(sound.flatMap(({ inputs }) => inputs));
  return [...new Set(present.keys()).difference(replaced)].toSorted();
}

/**
 * Logs all of whose outputs are among `known`, or were replaced by what sound logs say. No two logs replace each other: each
 * output has a name that no blob ever had.
 */
export function soundLogs<Log extends CompactionLog>(logs: Iterable<Log>, known: Iterable<BlobId>): ReadonlySet<Log> {
  const covered = new Set(known);
  const missing = new Map<Log, Set<BlobId>>();
  const waiting = new Map<BlobId, Log[]>();
  const ready: Log[] = [];
  for (const log of logs) {
    const outputs = new Set(log.outputs).difference(covered);
    if (outputs.size === 0) ready.push(log);
    missing.set(log, outputs);
    for (const output of outputs) waiting.set(output, [...(waiting.get(output) ?? []), log]);
  }
  const sound = new Set<Log>();
  for (let log = ready.pop(); log !== undefined; log = ready.pop()) {
    sound.add(log);
    for (const input of new Set(log.inputs).difference(covered)) {
      covered.add(input);
      for (const waiter of waiting.get(input) ?? []) {
        const outputs = missing.get(waiter)!;
        outputs.delete(input);
        if (outputs.size === 0) ready.push(waiter);
      }
    }
  }
  return sound;
}
