/**
 * The manifests of a repository: all `m` contents, merged. Changes are collected and written as one content by
 * `save`, which also compacts: from sixteen `m` contents on, one new content holds all that lives and the others are
 * deleted in the same index flush, as Kopia does on opening (`committed_manifest_manager.go`). What others wrote is
 * carried over verbatim.
 */
import { hasCode } from '../../std/dray-error.ts';
import type { Clock } from '../../std/clock.ts';
import { mapConcurrent } from '../../std/map-concurrent.ts';
import type { Rng } from '../../std/rng.ts';
import type { ContentId } from '../content/content-id.ts';
import type { IndexSet } from '../index/index-set.ts';
import type { ContentReader } from '../object/content-access.ts';
import type { RepositoryWriter } from '../repository-writer.ts';
import { decodeManifestContent } from './manifest-codec.ts';
import { ManifestSet } from './manifest-set.ts';

/** Contents on their way at once: of a bucket far away each takes a way there and back. */
const readsAtOnce = 8;
/** Another client may compact while the manifests are being read; then reading starts over. */
const loadAttemptsMax = 5;

export interface ManifestStoreParts {
  readonly reader: ContentReader;
  readonly index: IndexSet;
  readonly clock: Clock;
  readonly rng: Rng;
}

export class ManifestStore {
  readonly #parts: ManifestStoreParts;

  constructor(parts: ManifestStoreParts) {
    this.#parts = parts;
  }

  /**
   * All manifests as the index knows them now.
   * @throws {RepositoryError} `corrupt` when a manifest content cannot be read: nothing is ever listed incompletely.
   */
  async load({ signal }: { readonly signal: AbortSignal }): Promise<ManifestSet> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#load(signal);
      } catch (error) {
        if (attempt === loadAttemptsMax || !(hasCode(error, 'content-missing') || hasCode(error, 'blob-not-found'))) {
          throw error;
        }
        await this.#parts.index.refresh({ signal });
      }
    }
  }

  /** Hands the set's pending changes to the writer; they count from its next flush on. */
  async save(set: ManifestSet, writer: RepositoryWriter): Promise<void> {
    if (!set.hasPending) return;
    const plan = set.takePending({ compact: await this.#isCurrent(set, writer.signal) });
    if (plan === undefined) return;
    const written = await writer.write('m', plan.content);
    set.noteContent(written);
    for (const id of plan.obsolete) if (id !== written) writer.delete(id);
  }

  /**
   * True when no other client has compacted since the set was loaded. After that nobody has the tombstones of what was
   * deleted meanwhile, so a compaction from this set would bring it back.
   */
  async #isCurrent(set: ManifestSet, signal: AbortSignal): Promise<boolean> {
    const { index } = this.#parts;
    if (set.compactable.length === 0) return false;
    await index.refresh({ signal });
    return set.compactable.every((id) => index.find(id)?.deleted === false);
  }

  async #load(signal: AbortSignal): Promise<ManifestSet> {
    const set = new ManifestSet(this.#parts);
    const ids: ContentId[] = [];
    for (const entry of this.#parts.index.entries({ prefix: 'm' })) if (!entry.deleted) ids.push(entry.contentId);
    const read = async (id: ContentId, options: { readonly signal: AbortSignal }) =>
      [id, await this.#parts.reader.read(id, options)] as const;
    for await (const [id, bytes] of mapConcurrent(ids, { limit: readsAtOnce, signal }, read)) {
      set.addContent(id, decodeManifestContent(bytes));
    }
    return set;
  }
}
