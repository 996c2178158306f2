/**
 * The manifests of one backup: the incomplete snapshot that a checkpoint writes again and again under one id, and the
 * complete one that takes its place. They are put into the set of manifests here; the flush of their writer, which is
 * the caller's, makes them count together with the data that they speak of.
 */
import { encodeCheckpoint, type Checkpoint } from '../repository/manifest/checkpoint.ts';
import { imageDirectory, rootEntry } from '../repository/manifest/image-directory.ts';
import type { ManifestSet } from '../repository/manifest/manifest-set.ts';
import { encodeSnapshot, listSnapshots, userTagPrefix, type SnapshotId } from '../repository/manifest/snapshot.ts';
import { directObjectId, type ObjectId } from '../repository/object/object-id.ts';
import type { RepositoryWriter } from '../repository/repository-writer.ts';
import type { DoneRanges } from '../repository/tree/done-ranges.ts';
import { leafBytes } from '../repository/tree/volume-layout.ts';
import { decodeVolumeTags, encodeVolumeTags, withoutBitmaps, type VolumeTags } from '../repository/tree/volume-tags.ts';
import { changedExtents, type Changes, type PassedOver } from '../changes/changes.ts';
import { passedOverText } from '../changes/ladder.ts';
import { isSameExport } from '../changes/nbd.ts';
import type { OfferedRung } from '../changes/rungs.ts';
import type { SnapshotSource } from '../repository/manifest/snapshot-source.ts';
import { nanosecondsFromMs, type Nanoseconds } from '../std/go-time.ts';
import { changesDigest } from './backup-changes.ts';
import type { VolumeSnapshot } from './backup-parent.ts';
import { totalBytes } from '../volume/extents.ts';
import type { AuditResult, BackupParts, BackupRequest } from './backup-request.ts';
import { suspectsWith } from './untrusted-rungs.ts';

export interface BackupRecordState {
  readonly set: ManifestSet;
  readonly base: VolumeSnapshot | undefined;
  /** What earlier snapshots of the same volume have in their source. */
  readonly earlier: Partial<SnapshotSource>;
  /** Names the state of the source; absent where nothing can. */
  readonly sourceId: string | undefined;
  /** Rungs that earlier audits have caught. */
  readonly untrusted: readonly string[];
  readonly writer: RepositoryWriter;
}

/** What a run knows of itself at its end. */
export interface RunFacts {
  readonly passedOver: readonly PassedOver[];
  readonly storedBytes: number;
  readonly audit: (AuditResult & { readonly nextCursor: number }) | undefined;
}

interface Facts {
  readonly root: ObjectId;
  readonly changes: Changes;
  readonly checkpoint?: { readonly object: ObjectId; readonly sizeBytes: number };
  readonly tags?: VolumeTags;
}

export class BackupRecord {
  readonly #parts: BackupParts;
  readonly #request: BackupRequest;
  readonly #state: BackupRecordState;
  readonly #startTime: Nanoseconds;
  /** The incomplete snapshot of this work, ours or the one we go on from. */
  #checkpointId: SnapshotId | undefined;
  #untrusted: readonly string[];

  constructor(parts: BackupParts, request: BackupRequest, state: BackupRecordState) {
    this.#parts = parts;
    this.#request = request;
    this.#state = state;
    this.#untrusted = state.untrusted;
    this.#startTime = nanosecondsFromMs(parts.clock.nowMs());
  }

  /** What a checkpoint must be of, for another run to go on from it. */
  work(changes: Changes): Omit<Checkpoint, 'done'> {
    const { source } = this.#parts;
    const { layout } = this.#request;
    // Without a name for the source's state nothing can be gone on from; what is stored is still found by its ids.
    const sourceId = this.#state.sourceId ?? `unnamed state at ${this.#startTime}`;
    const parent = changes.rung === 'scan' ? undefined : changes.parent;
    return { sourceId, sizeBytes: source.sizeBytes, layout, parent, changes: changesDigest(changes) };
  }

  /** Later checkpoints take the place of this one, which an earlier run has left. */
  goOnFrom(checkpoint: SnapshotId): void {
    this.#checkpointId = checkpoint;
  }

  async checkpoint(root: ObjectId, changes: Changes, done: DoneRanges): Promise<void> {
    const { writer, set } = this.#state;
    const record = encodeCheckpoint({ ...this.work(changes), done: done.recorded() });
    const object = directObjectId(await writer.write('x', record));
    const facts = await this.#facts({ root, changes, checkpoint: { object, sizeBytes: record.length } });
    const encoded = encodeSnapshot({ ...facts, incomplete: 'checkpoint' });
    this.#checkpointId = set.put({ ...encoded, ...(this.#checkpointId && { id: this.#checkpointId }) });
    await this.#parts.repository.manifests.save(set, writer);
  }

  async complete(root: ObjectId, changes: Changes, { passedOver, storedBytes, audit }: RunFacts): Promise<SnapshotId> {
    const { set, writer, base, earlier } = this.#state;
    const reported = changedExtents(changes);
    const tags: VolumeTags = {
      passedOver: passedOverText(passedOver),
      changedBytes: reported && totalBytes(reported),
      storedBytes,
      auditCursor: audit?.nextCursor ?? base?.tags.auditCursor,
      audit: audit && `${audit.chunks} chunks, ${audit.missed.length} missed`,
    };
    const facts = await this.#facts({ root, changes, tags });
    const id = set.put(encodeSnapshot(facts));
    if (this.#checkpointId !== undefined) set.delete(this.#checkpointId);
    // Those of earlier runs as well, as Kopia does: they would hold on to their data for ever.
    for (const { id: old, incomplete, startTime } of listSnapshots(set, earlier).snapshots) {
      if (incomplete !== undefined && startTime < this.#startTime) set.delete(old);
    }
    this.#passBitmapsOn(id);
    await this.#parts.repository.manifests.save(set, writer);
    return id;
  }

  /** Bitmaps belong to the newest snapshot of an export: in the flush that makes it count, older ones lose them. */
  #passBitmapsOn(newest: SnapshotId): void {
    const { set } = this.#state;
    const own = this.#request.sourceTags?.bitmap;
    if (own === undefined) return;
    for (const snapshot of listSnapshots(set).snapshots) {
      const { bitmap } = decodeVolumeTags(snapshot.tags);
      if (snapshot.id === newest || bitmap === undefined || !isSameExport(bitmap, own)) continue;
      set.put({ ...encodeSnapshot({ ...snapshot, tags: withoutBitmaps(snapshot.tags) }), id: snapshot.id });
    }
  }

  /** A rung has been caught: this and later runs do without it, and what was made through it may lack a change. */
  distrust(rung: OfferedRung, where: string): void {
    const { set, base, earlier } = this.#state;
    this.#untrusted = [...new Set([...this.#untrusted, rung])].toSorted();
    // On the marked ones as well: the newest snapshot that is left decides, whichever are deleted.
    const marks = encodeVolumeTags({ suspect: where, untrusted: this.#untrusted });
    for (const snapshot of suspectsWith(set, earlier, base?.snapshot)) {
      set.put({ ...encodeSnapshot({ ...snapshot, tags: { ...snapshot.tags, ...marks } }), id: snapshot.id });
    }
  }

  async #facts({ root, changes, checkpoint, tags: runTags }: Facts): Promise<Parameters<typeof encodeSnapshot>[0]> {
    const { source } = this.#parts;
    const { origin, layout, tags, sourceTags } = this.#request;
    const { base, writer } = this.#state;
    const { sizeBytes } = source;
    const now = nanosecondsFromMs(this.#parts.clock.nowMs());
    const stored = layout === 'flat-1' ? Math.ceil(sizeBytes / leafBytes) * leafBytes : sizeBytes;
    const image = { name: origin.path, object: root, sizeBytes: stored, modified: this.#startTime };
    const { bytes, summary } = imageDirectory(image, checkpoint);
    const directory = directObjectId(await writer.write('k', bytes));
    const user = Object.fromEntries(Object.entries(tags).map(([key, value]) => [userTagPrefix + key, value]));
    const volumeTags = encodeVolumeTags({
      ...sourceTags,
      ...runTags,
      layout,
      sizeBytes,
      sourceId: this.#state.sourceId,
      parent: base?.snapshot.id,
      rung: changes.rung,
      reason: changes.reason,
      untrusted: this.#untrusted,
    });
    return {
      source: origin,
      description: 'dray volume backup',
      startTime: this.#startTime,
      endTime: now,
      stats: { totalSizeBytes: stored, files: summary.files, cachedFiles: 0, dirs: 1, errors: 0 },
      incomplete: undefined,
      rootEntry: rootEntry(origin.path, directory, { summary, modified: this.#startTime }),
      tags: { ...user, ...volumeTags },
      pins: [],
    };
  }
}
