/**
 * All manifests of a repository in memory, merged as Kopia merges them (`repo/manifest/committed_manifest_manager.go`):
 * of the entries with one id the one with the strictly later time counts, and a tombstone removes. Changes are
 * collected and come out as one content. From sixteen contents on that content holds everything that lives, and the
 * others are to be deleted in the same index flush.
 */
import assert from 'node:assert/strict';

import type { Clock } from '../../std/clock.ts';
import { nanosecondsFromMs } from '../../std/go-time.ts';
import type { Nanoseconds } from '../../std/go-time.ts';
import { bareObject } from '../../std/lossless-json.ts';
import type { JsonValue } from '../../std/lossless-json.ts';
import { randomHex, type Rng } from '../../std/rng.ts';
import type { ContentId } from '../content/content-id.ts';
import { encodeManifestContent, manifestData } from './manifest-codec.ts';
import type { Labels, ManifestEntry, ManifestId } from './manifest-codec.ts';

/** Kopia compacts on opening a repository that has this many manifest contents. */
export const compactionContents = 16;

export interface ManifestPlan {
  /** The plaintext of one `m` content. */
  readonly content: Uint8Array;
  /** Contents that the new one replaces. Delete them in the same index flush, except one that has the new one's id. */
  readonly obsolete: readonly ContentId[];
}

export interface ManifestPut {
  /** Must have `type`. */
  readonly labels: Labels;
  readonly data: JsonValue;
  /** Replaces the manifest of this id; absent, the manifest gets a new id. */
  readonly id?: ManifestId | undefined;
}

export class ManifestSet {
  readonly #clock: Clock;
  readonly #rng: Rng;
  readonly #entries = new Map<ManifestId, ManifestEntry>();
  readonly #pending = new Set<ManifestId>();
  readonly #contents = new Set<ContentId>();

  constructor({ clock, rng }: { readonly clock: Clock; readonly rng: Rng }) {
    this.#clock = clock;
    this.#rng = rng;
  }

  /** Merges a content of the repository; the order of contents does not matter. */
  addContent(id: ContentId, entries: readonly ManifestEntry[]): void {
    this.#contents.add(id);
    for (const entry of entries) {
      const known = this.#entries.get(entry.id);
      if (known === undefined || entry.modified > known.modified) this.#entries.set(entry.id, entry);
    }
  }

  /** How many `m` contents the repository has, as far as this set knows. */
  get contents(): number {
    return this.#contents.size;
  }

  /** What the next plan makes obsolete: all `m` contents of the repository that this set knows, or none of them. */
  get compactable(): readonly ContentId[] {
    return this.#contents.size + 1 < compactionContents ? [] : [...this.#contents];
  }

  get(id: ManifestId): ManifestEntry | undefined {
    const entry = this.#entries.get(id);
    return entry === undefined || entry.deleted ? undefined : entry;
  }

  /** Living manifests that have all of these labels, oldest change first, ties by id. */
  find(labels: Labels): ManifestEntry[] {
    const wanted = Object.entries(labels);
    const found: ManifestEntry[] = [];
    for (const entry of this.#entries.values()) {
      if (!entry.deleted && wanted.every(([key, value]) => entry.labels[key] === value)) found.push(entry);
    }
    return found.toSorted(byTime);
  }

  /** The last changed of the manifests that have all of these labels. */
  latest(labels: Labels): ManifestEntry | undefined {
    return this.find(labels).at(-1);
  }

  /** Stores a manifest with the next `takePending`. Returns its id. */
  put({ labels, data, id }: ManifestPut): ManifestId {
    assert(labels['type'] !== undefined, 'a manifest needs a type');
    const newId = id ?? (randomHex(this.#rng, 16) as ManifestId);
    const copy = Object.assign(bareObject<string>(), labels);
    this.#change({ id: newId, labels: copy, modified: this.#later(newId), deleted: false, data: manifestData(data) });
    return newId;
  }

  /** Removes a manifest with the next `takePending`; one that is not there is left alone. */
  delete(id: ManifestId): void {
    if (this.get(id) === undefined) return;
    const labels = bareObject<string>();
    this.#change({ id, labels, modified: this.#later(id), deleted: true, data: 'null' });
  }

  get hasPending(): boolean {
    return this.#pending.size > 0;
  }

  /**
   * What has to be written so that all changes count; undefined when there are none. The changes count as written
   * from then on; tell `noteContent` the id of the content. With `compact` false nothing becomes obsolete.
   */
  takePending({ compact = true }: { readonly compact?: boolean } = {}): ManifestPlan | undefined {
    if (this.#pending.size === 0) return undefined;
    const pending = [...this.#pending].map((id) => this.#entries.get(id)!);
    this.#pending.clear();
    const obsolete = compact ? this.compactable : [];
    if (obsolete.length === 0) return { content: encodeManifestContent(pending), obsolete };
    this.#contents.clear();
    // Old tombstones go with the contents that they speak of. New ones stay once more: another client may just now
    // be writing a content of its own that still has the manifest.
    const fresh = new Set(pending);
    const kept = [...this.#entries.values()].filter((entry) => !entry.deleted || fresh.has(entry));
    for (const [id, entry] of this.#entries) if (entry.deleted && !fresh.has(entry)) this.#entries.delete(id);
    return { content: encodeManifestContent(kept), obsolete };
  }

  /** The content of the last plan is written under this id. */
  noteContent(id: ContentId): void {
    this.#contents.add(id);
  }

  #change(entry: ManifestEntry): void {
    this.#entries.set(entry.id, entry);
    this.#pending.add(entry.id);
  }

  /** Now, or just after what is known of this id: a clock that is behind must not lose a change. */
  #later(id: ManifestId): Nanoseconds {
    const now = nanosecondsFromMs(this.#clock.nowMs());
    const known = this.#entries.get(id);
    return known === undefined || known.modified < now ? now : known.modified + 1n;
  }
}

function byTime(a: ManifestEntry, b: ManifestEntry): number {
  if (a.modified !== b.modified) return a.modified < b.modified ? -1 : 1;
  return a.id < b.id ? -1 : 1;
}
