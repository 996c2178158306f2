/**
 * The index as blobs of epochs. Entries are written into the present epoch (Kopia `epoch_manager.go` WriteIndex).
 * Maintenance merges an epoch once two newer ones have begun, and never looks at it again; so a blob counts only if its
 * epoch is still young when it is durable. A state that is getting old is read again before each blob, and the epoch
 * once more at the end.
 */
import type { BlobId, BlobStore } from '../../blobs/blob-store.ts';
import { removeUnlessLocked } from '../../blobs/remove-unless-locked.ts';
import type { ContentCodec, NamedBlob } from '../content/content-codec.ts';
import { RepositoryError } from '../repository-error.ts';
import { encodeIndex } from './encode-index.ts';
import type { EpochReader, ReadEpochState } from './epoch-reader.ts';
import { activeIndexBlobs, unsettledEpochs } from './epochs.ts';
import {
  entriesPerShardMax,
  shardEntries,
  type ActiveIndex,
  type IndexBlobs,
  type PutIndex,
  type PutIndexOptions,
} from './index-blobs.ts';
import type { IndexEntry } from './index-entry.ts';

/** Times that the epoch may move, or the state expire, while shards are written. */
const attemptsMax = 10;
/** What an index can say. */
const timestampSecondsMax = 0xffff_ffff;

export interface EpochBlobsParts {
  readonly store: BlobStore;
  readonly codec: ContentCodec;
  readonly epochs: EpochReader;
  readonly indexVersion: 1 | 2;
}

export class EpochBlobs implements IndexBlobs {
  readonly #parts: EpochBlobsParts;
  /** The newest known. */
  #state: ReadEpochState | undefined;

  constructor(parts: EpochBlobsParts) {
    this.#parts = parts;
  }

  async list({ signal }: { readonly signal: AbortSignal }): Promise<ActiveIndex> {
    const state = await this.#read(signal);
    const { lengthBytes, deletionWatermarkSeconds } = state;
    return { active: activeIndexBlobs(state), lengthBytes, deletionWatermarkSeconds };
  }

  async put(
    entries: readonly IndexEntry[],
    { sessionId, entriesMax = entriesPerShardMax, check, signal }: PutIndexOptions,
  ): Promise<PutIndex> {
    const { store, codec, epochs, indexVersion } = this.#parts;
    const shards = shardEntries(entries, entriesMax);
    const suffix = `${sessionId}-c${shards.length}`;
    const encoding = { version: indexVersion, hashLengthBytes: codec.hashLengthBytes } as const;
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      const known = this.#state;
      const state = known !== undefined && epochs.isFresh(known) ? known : await this.#read(signal);
      const blobs: (NamedBlob & { plain: Uint8Array })[] = [];
      for (const shard of shards) {
        if (!epochs.isValid(state)) break;
        const plain = encodeIndex(aboveWatermark(shard, state), encoding);
        const blob = codec.sealNamed(`xn${state.writeEpoch}_`, suffix, plain);
        check?.();
        await store.put(blob.id, blob.bytes, { signal });
        blobs.push({ ...blob, plain });
      }
      const ids = blobs.map(({ id }) => id);
      if (blobs.length < shards.length) {
        // Shards take long to write: what is there is kept only if the epoch is the same, and then written again.
        const { writeEpoch } = await this.#read(signal);
        if (writeEpoch !== state.writeEpoch) await removeAll(store, ids, signal);
        continue;
      }
      const epoch = await epochs.writeEpoch({ signal });
      if (epoch < state.writeEpoch + unsettledEpochs) return { epoch, blobs };
      await removeAll(store, ids, signal);
      throw new RepositoryError(
        'index-conflict',
        `the index was written for epoch ${state.writeEpoch}, but ${epoch} has begun`,
      );
    }
    throw new RepositoryError(
      'index-conflict',
      `write an index of ${entries.length} entries in ${shards.length} blobs`,
    );
  }

  async mayMerge(epoch: number, { signal }: { readonly signal: AbortSignal }): Promise<boolean> {
    return (await this.#parts.epochs.writeEpoch({ signal })) < epoch + unsettledEpochs;
  }

  async #read(signal: AbortSignal): Promise<ReadEpochState> {
    return (this.#state = await this.#parts.epochs.read({ signal }));
  }
}

/**
 * A content that was dropped is found nowhere, so whoever stores it again knows no time that it must be later than. If its
 * clock is behind, the deleted entry would win, and the content would be dropped with it. What is alive is therefore never
 * as old as what was dropped. (Kopia writes its clock's time.)
 */
function aboveWatermark(
  entries: readonly IndexEntry[],
  { deletionWatermarkSeconds }: Pick<ReadEpochState, 'deletionWatermarkSeconds'>,
): readonly IndexEntry[] {
  if (deletionWatermarkSeconds === undefined) return entries;
  const isHidden = (entry: IndexEntry): boolean => !entry.deleted && entry.timestampSeconds <= deletionWatermarkSeconds;
  const timestampSeconds = Math.min(deletionWatermarkSeconds + 1, timestampSecondsMax);
  return entries.some(isHidden)
    ? entries.map((entry) => (isHidden(entry) ? { ...entry, timestampSeconds } : entry))
    : entries;
}

async function removeAll(store: BlobStore, blobs: readonly BlobId[], signal: AbortSignal): Promise<void> {
  for (const blob of blobs) await removeUnlessLocked(store, blob, { signal });
}
