/**
 * A volume into a repository. What happens when: the parent and the rung of changes are settled, and with `strict`
 * refused, before anything is read; an audit comes before what it may overturn; checkpoints make progress durable;
 * the snapshot is put in the same index flush as the last of its data, after the source was looked at once more.
 */
import assert from 'node:assert/strict';

import { changedExtents, ChangesError, type Changes } from '../changes/changes.ts';
import { compressorNames, isCompressorName, type CompressorName } from '../repository/content/compression.ts';
import { encodeCheckpoint, type Checkpoint } from '../repository/manifest/checkpoint.ts';
import { imageDirectory, rootEntry } from '../repository/manifest/image-directory.ts';
import type { ManifestSet } from '../repository/manifest/manifest-set.ts';
import { compressorFor, effectivePolicy } from '../repository/manifest/policy.ts';
import {
  encodeSnapshot,
  listSnapshots,
  resolveSnapshot,
  userTagPrefix,
  type SnapshotId,
} from '../repository/manifest/snapshot.ts';
import { directObjectId, type ObjectId } from '../repository/object/object-id.ts';
import { RepositoryError } from '../repository/repository-error.ts';
import type { RepositoryWriter } from '../repository/repository-writer.ts';
import { adoptTree } from '../repository/tree/adopt-tree.ts';
import { DoneRanges } from '../repository/tree/done-ranges.ts';
import { FlatBuilder } from '../repository/tree/flat-builder.ts';
import { TreeBuilder } from '../repository/tree/tree-builder.ts';
import { diffTrees } from '../repository/tree/tree-diff.ts';
import type { VolumeBuilder } from '../repository/tree/volume-builder.ts';
import { leafBytes } from '../repository/tree/volume-layout.ts';
import { encodeVolumeTags } from '../repository/tree/volume-tags.ts';
import { nanosecondsFromMs, type Nanoseconds } from '../std/go-time.ts';
import { VolumeError } from '../volume/block-source.ts';
import { extent } from '../volume/extent.ts';
import { intersectExtents, normalizeExtents, totalBytes } from '../volume/extents.ts';
import { auditUnchanged } from './backup-audit.ts';
import { changesDigest, decideChanges } from './backup-changes.ts';
import { chooseParent, findResumable, openVolumeSnapshot, type VolumeSnapshot } from './backup-parent.ts';
import type { AuditResult, BackupParts, BackupRequest, BackupResult } from './backup-request.ts';
import { BackupRun, workBytesOf } from './backup-run.ts';
import { damageOf } from './damage.ts';

/** @throws {BackupError} `degraded`; {ChangesError}, {RepositoryError}, {VolumeError}, {BlobError} */
export async function backup(parts: BackupParts, request: BackupRequest): Promise<BackupResult> {
  const { repository } = parts;
  const { signal } = request;
  const set = await repository.manifests.load({ signal });
  const parent = chooseParent(set, request.origin, wantedParent(set, request));
  const base = parent === undefined ? undefined : await openVolumeSnapshot(repository, parent, { signal });
  const identity = await parts.source.identity({ signal });
  const sourceId = request.sourceId ?? identity.fingerprint;
  const changes = decideChanges(request, { sizeBytes: parts.source.sizeBytes, sourceId, base });
  await using writer = await repository.writer(parts.identity, { signal });
  const job = new BackupJob(parts, request, { set, base, sourceId, fingerprint: identity.fingerprint, writer });
  return await job.run(changes);
}

/** A list of changes names its parent; whoever names another one as well is told. */
function wantedParent(set: ManifestSet, { parent, changeList }: BackupRequest): BackupRequest['parent'] {
  if (changeList === undefined) return parent;
  const listed = { snapshot: changeList.parent };
  if (parent === 'auto') return listed;
  const same =
    parent !== 'none' && resolveSnapshot(set, parent.snapshot).id === resolveSnapshot(set, listed.snapshot).id;
  if (same) return listed;
  const named = parent === 'none' ? 'no parent' : `parent ${parent.snapshot}`;
  throw new ChangesError(
    'changes-invalid',
    `the list is of changes since ${listed.snapshot}, but ${named} was asked for`,
  );
}

interface JobState {
  readonly set: ManifestSet;
  readonly base: VolumeSnapshot | undefined;
  readonly sourceId: string | undefined;
  /** Of a regular file, at the beginning. */
  readonly fingerprint: string | undefined;
  readonly writer: RepositoryWriter;
}

class BackupJob {
  readonly #parts: BackupParts;
  readonly #request: BackupRequest;
  readonly #state: JobState;
  readonly #startTime: Nanoseconds;
  /** The incomplete snapshot of this work, ours or the one we go on from. */
  #checkpointId: SnapshotId | undefined;

  constructor(parts: BackupParts, request: BackupRequest, state: JobState) {
    this.#parts = parts;
    this.#request = request;
    this.#state = state;
    this.#startTime = nanosecondsFromMs(parts.clock.nowMs());
  }

  async run(decided: Changes): Promise<BackupResult> {
    const { source } = this.#parts;
    const { onWarning, signal } = this.#request;
    const { base } = this.#state;
    const { object: baseObject, changes: adopted } = await this.#adopt(decided);
    let changes = adopted;
    let audit: (AuditResult & { nextCursor: number }) | undefined;
    const touched = changedExtents(changes);
    if (touched !== undefined) {
      assert(base !== undefined && baseObject !== undefined);
      const tree = this.#builder(baseObject, base.sizeBytes);
      const cursor = base.tags.auditCursor ?? 0;
      const padTail = this.#request.layout === 'flat-1';
      audit = await auditUnchanged({ ...this.#parts, tree }, { changed: touched, cursor, padTail, signal });
      if (audit.missed.length > 0) {
        changes = this.#distrust(changes, audit);
        onWarning(changes.reason);
      }
    }
    const work = this.#workOf(changes);
    const resumed = await findResumable({ ...this.#state, ...this.#parts }, this.#request.origin, work, { signal });
    this.#checkpointId = resumed?.volume.snapshot.id;
    const done = resumed === undefined ? new DoneRanges() : DoneRanges.from(resumed.checkpoint.done);
    const workBytes = workBytesOf(changedExtents(changes), source.sizeBytes);
    await using run = this.#backupRun(changes, { done, workBytes });
    const below = resumed?.volume.object ?? (changes.rung === 'scan' ? undefined : baseObject);
    const belowBytes = resumed === undefined ? base?.sizeBytes : source.sizeBytes;
    const tree = this.#builder(below, belowBytes);
    await run.process(tree, changedExtents(changes));
    const root = await tree.finish();
    await this.#checkSource();
    const snapshot = await this.#complete(root, changes, audit?.nextCursor);
    await this.#state.writer.finish({ sealOthers: async (session) => await run.seal(session) });
    const changedBytes = await this.#changedBytes(root);
    const { sizeBytes } = source;
    const parent = base?.snapshot.id;
    return {
      snapshot,
      parent,
      changes,
      resumed: resumed !== undefined,
      sizeBytes,
      changedBytes,
      counts: run.counts,
      audit,
    };
  }

  /** The parent's tree in our layout: itself, or rewritten from ids; what it cannot say of the parent counts as changed. */
  async #adopt(changes: Changes): Promise<{ readonly object: ObjectId | undefined; readonly changes: Changes }> {
    const { base, writer } = this.#state;
    if (base === undefined || changes.rung !== 'list' || base.tags.layout === this.#request.layout) {
      return { object: base?.object, changes };
    }
    const { object, sizeBytes } = base;
    const { signal } = this.#request;
    const parts = { reader: this.#parts.repository, writer };
    const adopted = await adoptTree(parts, { object, sizeBytes, signal });
    await writer.flush();
    const unknown = intersectExtents(adopted.unknown, [extent(0, this.#parts.source.sizeBytes)]);
    const extents = normalizeExtents([...changes.extents, ...unknown]);
    return { object: adopted.object, changes: { ...changes, extents } };
  }

  #backupRun(changes: Changes, options: { readonly done: DoneRanges; readonly workBytes: number }): BackupRun {
    const { repository, source, clock } = this.#parts;
    const { store, parallel, workers, checkpointBytes, onProgress, signal, layout } = this.#request;
    const total = workBytesOf(changedExtents(changes), source.sizeBytes);
    return new BackupRun(
      { repository, writer: this.#state.writer, source, clock },
      {
        ...options,
        worker: { store, compressor: this.#compressor(), padTail: layout === 'flat-1' },
        parallel,
        workers,
        checkpointBytes,
        recordCheckpoint: async (root, done) => await this.#recordCheckpoint(root, changes, done),
        onProgress: (counts) => onProgress(counts, total),
        signal,
      },
    );
  }

  #builder(below: ObjectId | undefined, belowBytes: number | undefined): VolumeBuilder {
    const { repository, source } = this.#parts;
    const { signal, layout } = this.#request;
    const base = below === undefined || belowBytes === undefined ? undefined : { object: below, sizeBytes: belowBytes };
    const parts = { reader: repository, writer: this.#state.writer };
    const options = { sizeBytes: source.sizeBytes, base, signal };
    return layout === 'tree-1' ? new TreeBuilder(parts, options) : new FlatBuilder(parts, options);
  }

  /** Flag, then policy, then zstd-fastest. Index version 1 cannot say that a content is compressed. */
  #compressor(): CompressorName {
    const { repository, source } = this.#parts;
    if (repository.opened.format.indexVersion < 2) return 'none';
    if (this.#request.compression !== undefined) return this.#request.compression;
    const { compression } = effectivePolicy(this.#state.set, this.#request.origin);
    const named = compressorFor(compression, { name: source.location.path, sizeBytes: source.sizeBytes });
    if (named === undefined) return 'zstd-fastest';
    if (isCompressorName(named)) return named;
    const known = compressorNames.join(', ');
    throw new RepositoryError('unsupported', `the policy asks for compression ${named}; known are ${known}`);
  }

  /** The source has been caught: what was made through it is marked, and this run reads everything. */
  #distrust(changes: Changes, audit: AuditResult): Changes {
    const where = `${audit.missed.length} of ${audit.chunks} audited chunks had changed unlisted, first at ${audit.missed[0]}`;
    const { set } = this.#state;
    for (const snapshot of listSnapshots(set, this.#request.origin).snapshots.toReversed()) {
      if (snapshot.incomplete !== undefined) continue;
      if (snapshot.tags['dray:rung'] === undefined || snapshot.tags['dray:rung'] === 'scan') break;
      const tags = { ...snapshot.tags, ...encodeVolumeTags({ suspect: where }) };
      set.put({ ...encodeSnapshot({ ...snapshot, tags }), id: snapshot.id });
    }
    return { rung: 'scan', reason: `the change source (${changes.rung}) is not trusted: ${where}` };
  }

  #workOf(changes: Changes): Omit<Checkpoint, 'done'> {
    const { source } = this.#parts;
    const { layout } = this.#request;
    // Without a name for the source's state nothing can be gone on from; what is stored is still found by its ids.
    const sourceId = this.#state.sourceId ?? `unnamed state at ${this.#startTime}`;
    const parent = changes.rung === 'scan' ? undefined : changes.parent;
    return { sourceId, sizeBytes: source.sizeBytes, layout, parent, changes: changesDigest(changes) };
  }

  async #recordCheckpoint(root: ObjectId, changes: Changes, done: DoneRanges): Promise<void> {
    const { writer, set } = this.#state;
    const record = encodeCheckpoint({ ...this.#workOf(changes), done: done.recorded() });
    const object = directObjectId(await writer.write('x', record));
    const facts = await this.#facts(root, changes, { object, sizeBytes: record.length });
    const encoded = encodeSnapshot({ ...facts, incomplete: 'checkpoint' });
    this.#checkpointId = set.put({ ...encoded, ...(this.#checkpointId && { id: this.#checkpointId }) });
    await this.#parts.repository.manifests.save(set, writer);
  }

  async #complete(root: ObjectId, changes: Changes, auditCursor: number | undefined): Promise<SnapshotId> {
    const { set, writer } = this.#state;
    const id = set.put(
      encodeSnapshot(await this.#facts(root, changes, undefined, auditCursor ?? this.#state.base?.tags.auditCursor)),
    );
    if (this.#checkpointId !== undefined) set.delete(this.#checkpointId);
    // Those of earlier runs as well, as Kopia does: they would hold on to their data for ever.
    for (const { id: old, incomplete, startTime } of listSnapshots(set, this.#request.origin).snapshots) {
      if (incomplete !== undefined && startTime < this.#startTime) set.delete(old);
    }
    await this.#parts.repository.manifests.save(set, writer);
    return id;
  }

  async #facts(
    root: ObjectId,
    changes: Changes,
    checkpoint: { readonly object: ObjectId; readonly sizeBytes: number } | undefined,
    auditCursor?: number,
  ): Promise<Parameters<typeof encodeSnapshot>[0]> {
    const { source } = this.#parts;
    const { origin, layout, tags } = this.#request;
    const { base, writer } = this.#state;
    const { sizeBytes } = source;
    const now = nanosecondsFromMs(this.#parts.clock.nowMs());
    const stored = layout === 'flat-1' ? Math.ceil(sizeBytes / leafBytes) * leafBytes : sizeBytes;
    const image = { name: origin.path, object: root, sizeBytes: stored, modified: this.#startTime };
    const { bytes, summary } = imageDirectory(image, checkpoint);
    const directory = directObjectId(await writer.write('k', bytes));
    const user = Object.fromEntries(Object.entries(tags).map(([key, value]) => [userTagPrefix + key, value]));
    const volumeTags = encodeVolumeTags({
      layout,
      sizeBytes,
      sourceId: this.#state.sourceId,
      parent: base?.snapshot.id,
      rung: changes.rung,
      reason: changes.reason,
      auditCursor,
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

  /** A regular file must be what it was at the beginning; a device cannot say. */
  async #checkSource(): Promise<void> {
    const { source } = this.#parts;
    const now = await source.identity({ signal: this.#request.signal });
    if (this.#request.allowChanges) return;
    if (now.fingerprint !== this.#state.fingerprint) {
      throw new VolumeError('volume-changed', `${source.location.path} was written to while it was being read`);
    }
  }

  /** Not known when the parent's tree cannot be read: the snapshot, which is complete by now, does not need it. */
  async #changedBytes(root: ObjectId): Promise<number | undefined> {
    const { base } = this.#state;
    if (base === undefined) return undefined;
    const { repository, source } = this.#parts;
    const { signal, layout } = this.#request;
    const before = { object: base.object, sizeBytes: base.sizeBytes, layout: base.tags.layout };
    const after = { object: root, sizeBytes: source.sizeBytes, layout };
    try {
      return totalBytes(await Array.fromAsync(diffTrees(repository, { before, after }, { signal })));
    } catch (error) {
      const reason = damageOf(error);
      this.#request.onWarning(`the parent ${base.snapshot.id} is damaged, run "dray repository verify": ${reason}`);
      return undefined;
    }
  }
}
