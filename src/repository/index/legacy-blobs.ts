/**
 * The index as it was before epochs (Kopia 0.8 and older, `index_blob_manager_v0.go`): every `n` blob counts, unless a
 * compaction log (`m`) says that it has been merged into others that are all there. What has been merged stays for hours,
 * so the logs always have to be read. Nothing is merged here: Kopia's quick maintenance does, and a blob is small.
 */
import type { BlobId, BlobStore } from '../../blobs/blob-store.ts';
import { ifThere } from '../../blobs/if-there.ts';
import type { ContentCodec } from '../content/content-codec.ts';
import { decodeCompactionLog, type CompactionLog } from './compaction-log.ts';
import { encodeIndex } from './encode-index.ts';
import {
  entriesPerShardMax,
  shardEntries,
  type ActiveIndex,
  type IndexBlobs,
  type PutIndex,
  type PutIndexOptions,
} from './index-blobs.ts';
import type { IndexEntry } from './index-entry.ts';

/** What an upgrade leaves, so that programs that know no epochs stop reading; it is no index. */
const poison = 'n00000000000000000000000000000000-repository_unreadable_by_this_kopia_version_upgrade_required';
const logsAtOnce = 8;

export interface LegacyBlobsParts {
  readonly store: BlobStore;
  readonly codec: ContentCodec;
  readonly indexVersion: 1 | 2;
}

export class LegacyBlobs implements IndexBlobs {
  readonly #parts: LegacyBlobsParts;
  /** A name is a hash of what it names, so a log is read once. */
  #logs: ReadonlyMap<BlobId, CompactionLog> = new Map();

  constructor(parts: LegacyBlobsParts) {
    this.#parts = parts;
  }

  async list({ signal }: { readonly signal: AbortSignal }): Promise<ActiveIndex> {
    const { store } = this.#parts;
    // The logs first: a blob that a log of this listing replaces was put before it.
    const logNames: BlobId[] = [];
    for await (const { id } of store.list('m', { signal })) logNames.push(id);
    const lengthBytes = new Map<BlobId, number>();
    for await (const blob of store.list('n', { signal })) {
      if (blob.id !== poison) lengthBytes.set(blob.id, blob.lengthBytes);
    }
    this.#logs = await this.#readLogs(logNames, signal);
    return {
      active: activeOf(new Set(lengthBytes.keys()), this.#logs.values()),
      lengthBytes,
      deletionWatermarkSeconds: undefined,
    };
  }

  async put(
    entries: readonly IndexEntry[],
    { sessionId, entriesMax = entriesPerShardMax, check, signal }: PutIndexOptions,
  ): Promise<PutIndex> {
    const { store, codec, indexVersion } = this.#parts;
    const encoding = { version: indexVersion, hashLengthBytes: codec.hashLengthBytes } as const;
    const blobs = [];
    for (const shard of shardEntries(entries, entriesMax)) {
      const plain = encodeIndex(shard, encoding);
      const blob = codec.sealNamed('n', sessionId, plain);
      check?.();
      await store.put(blob.id, blob.bytes, { signal });
      blobs.push({ ...blob, plain });
    }
    return { blobs, epoch: undefined };
  }

  async mayMerge(): Promise<boolean> {
    return false;
  }

  async #readLogs(names: readonly BlobId[], signal: AbortSignal): Promise<ReadonlyMap<BlobId, CompactionLog>> {
    const logs = new Map<BlobId, CompactionLog>();
    const waiting = names.values();
    const read = async (): Promise<void> => {
      for (const name of waiting) {
        const log = this.#logs.get(name) ?? (await this.#readLog(name, signal));
        if (log !== undefined) logs.set(name, log);
      }
    };
    await Promise.all(Array.from({ length: logsAtOnce }, read));
    return logs;
  }

  /** Undefined when a later compaction has removed it since. */
  async #readLog(name: BlobId, signal: AbortSignal): Promise<CompactionLog | undefined> {
    const { store, codec } = this.#parts;
    const sealed = await ifThere(store.get(name, { signal }));
    return sealed && decodeCompactionLog(name, codec.openNamed(name, sealed));
  }
}

/** Those that no log replaces whose outputs are all there; whether an output is replaced itself does not matter. */
function activeOf(present: ReadonlySet<BlobId>, logs: Iterable<CompactionLog>): BlobId[] {
  const replaced = new Set<BlobId>();
  for (const { inputs, outputs } of logs) {
    if (outputs.every((blob) => present.has(blob))) for (const blob of inputs) replaced.add(blob);
  }
  return [...present.difference(replaced)].toSorted();
}
