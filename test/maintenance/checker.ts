/**
 * Looks at a repository as a reader that knows nothing yet would, with code of its own where that is short: which index
 * blobs count, which entry wins, what every snapshot needs, and whether it can be read. Nothing is cached but what
 * cannot change under its name.
 */
import assert from 'node:assert/strict';

import type { BlobId, BlobStore } from '../../src/blobs/blob-store.ts';
import { ContentCodec } from '../../src/repository/content/content-codec.ts';
import { contentId, type ContentId } from '../../src/repository/content/content-id.ts';
import type { ContentFormat } from '../../src/repository/format/content-format.ts';
import { activeIndexBlobs, epochState } from '../../src/repository/index/epochs.ts';
import type { IndexEntry } from '../../src/repository/index/index-entry.ts';
import { IndexTable } from '../../src/repository/index/index-table.ts';
import { decodeDirectory } from '../../src/repository/manifest/directory.ts';
import type { DirEntry } from '../../src/repository/manifest/dir-entry.ts';
import { decodeManifestContent } from '../../src/repository/manifest/manifest-codec.ts';
import { decodeSnapshot, type Snapshot } from '../../src/repository/manifest/snapshot.ts';
import { decodeIndirect } from '../../src/repository/object/indirect.ts';
import { isIndirect, listOf, type ObjectId } from '../../src/repository/object/object-id.ts';

const signal = new AbortController().signal;

interface ActiveBlobs {
  readonly blobs: readonly BlobId[];
  /** Deleted entries up to this second are dropped. */
  readonly watermark: number;
}

export class Checker {
  readonly #store: BlobStore;
  readonly #epochs: boolean;
  readonly #codec: ContentCodec;
  readonly #indexes = new Map<BlobId, readonly IndexEntry[]>();
  /** Plaintext by where it stands; packs never change. */
  readonly #plain = new Map<string, Uint8Array>();

  constructor(store: BlobStore, format: ContentFormat) {
    this.#store = store;
    this.#epochs = format.epochs.enabled;
    this.#codec = new ContentCodec(format);
  }

  /** Walks everything that is visible. @returns the snapshots @throws {Error} what is lost */
  async check(): Promise<readonly Snapshot[]> {
    const entries = await this.entries();
    const packs = new Set<BlobId>();
    for (const prefix of ['p', 'q']) for await (const { id } of this.#store.list(prefix, { signal })) packs.add(id);
    const read = async (id: ContentId, why: string): Promise<Uint8Array> => {
      const entry = entries.get(id);
      if (entry === undefined) throw new Error(`${why} needs ${id}: the index does not have it`);
      if (!packs.has(entry.packBlob)) throw new Error(`${why} needs ${id}: its pack ${entry.packBlob} is gone`);
      return await this.#open(entry);
    };
    // Whoever stores such a content next would rely on it.
    for (const { contentId: id, deleted, packBlob } of entries.values()) {
      if (!deleted && !packs.has(packBlob)) throw new Error(`${id} counts, and its pack ${packBlob} is gone`);
    }
    const manifests = [...entries.values()].filter((entry) => entry.contentId.startsWith('m') && !entry.deleted);
    const newest = new Map<string, ReturnType<typeof decodeManifestContent>[number]>();
    for (const { contentId: id } of manifests) {
      for (const entry of decodeManifestContent(await read(id, 'the list of snapshots'))) {
        const known = newest.get(entry.id);
        if (known === undefined || entry.modified > known.modified) newest.set(entry.id, entry);
      }
    }
    const living = [...newest.values()].filter(({ deleted, labels }) => !deleted && labels['type'] === 'snapshot');
    const snapshots = living.map(decodeSnapshot);
    for (const { id, rootEntry } of snapshots)
      await walk(rootEntry, async (content) => await read(content, `snapshot ${id}`));
    return snapshots;
  }

  /** The winning entries; what was dropped is not among them. */
  async entries(): Promise<ReadonlyMap<ContentId, IndexEntry>> {
    const { blobs, watermark } = await (this.#epochs ? this.#epochIndex() : this.#legacyIndex());
    const winners = new Map<ContentId, IndexEntry>();
    for (const blob of blobs) {
      for (const entry of await this.#index(blob)) {
        const known = winners.get(entry.contentId);
        if (known === undefined || wins(entry, known)) winners.set(entry.contentId, entry);
      }
    }
    for (const [id, { deleted, timestampSeconds }] of winners) {
      if (deleted && timestampSeconds <= watermark) winners.delete(id);
    }
    return winners;
  }

  async #epochIndex(): Promise<ActiveBlobs> {
    const names: BlobId[] = [];
    for await (const { id } of this.#store.list('x', { signal })) names.push(id);
    const state = epochState(names);
    return { blobs: activeIndexBlobs(state), watermark: state.deletionWatermarkSeconds ?? -1 };
  }

  async #legacyIndex(): Promise<ActiveBlobs> {
    const blobs = new Set<BlobId>();
    for await (const { id } of this.#store.list('n', { signal })) blobs.add(id);
    const replaced = new Set<string>();
    for await (const { id } of this.#store.list('m', { signal })) {
      const text = Buffer.from(this.#codec.openNamed(id, await this.#store.get(id, { signal }))).toString();
      const { inputMetadata, outputMetadata } = JSON.parse(text) as Record<string, readonly { id: BlobId }[] | null>;
      const isWhole = (outputMetadata ?? []).every((output) => blobs.has(output.id));
      if (isWhole) for (const input of inputMetadata ?? []) replaced.add(input.id);
    }
    return { blobs: [...blobs].filter((id) => !replaced.has(id)), watermark: -1 };
  }

  async #index(blob: BlobId): Promise<readonly IndexEntry[]> {
    const known = this.#indexes.get(blob);
    if (known !== undefined) return known;
    const plain = this.#codec.openNamed(blob, await this.#store.get(blob, { signal }));
    const entries = [...IndexTable.inMemory(plain).entries()];
    this.#indexes.set(blob, entries);
    return entries;
  }

  async #open(entry: IndexEntry): Promise<Uint8Array> {
    const place = `${entry.packBlob} ${entry.packOffset}`;
    const known = this.#plain.get(place);
    if (known !== undefined) return known;
    const range = { offset: entry.packOffset, lengthBytes: entry.packedLength };
    const sealed = await this.#store.get(entry.packBlob, { range, signal });
    const plain = this.#codec.open(entry, sealed, { verify: true });
    this.#plain.set(place, plain);
    return plain;
  }
}

function wins(a: IndexEntry, b: IndexEntry): boolean {
  if (a.timestampSeconds !== b.timestampSeconds) return a.timestampSeconds > b.timestampSeconds;
  if (a.deleted !== b.deleted) return b.deleted;
  return a.packBlob > b.packBlob;
}

type Read = (id: ContentId) => Promise<Uint8Array>;

/** All that an entry of a folder needs, whoever wrote it. */
async function walk({ type, object }: DirEntry, read: Read): Promise<void> {
  await walkObject(object, read);
  if (type !== 'd') return;
  for (const entry of decodeDirectory(await read(contentId(object))).entries) await walk(entry, read);
}

async function walkObject(object: ObjectId, read: Read): Promise<void> {
  const list = listOf(object);
  if (list === undefined) return void (await read(contentId(object)));
  assert.ok(!isIndirect(list), `${object}: lists of lists are for more bytes than are here`);
  for (const member of decodeIndirect(await read(contentId(list)))) await walkObject(member.objectId, read);
}
