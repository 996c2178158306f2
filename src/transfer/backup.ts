/**
 * A volume into a repository. What happens when: the parent and the rung of changes are settled, and with `strict`
 * refused, before anything is read; an audit comes before what it may overturn; checkpoints make progress durable;
 * the snapshot is put in the same index flush as the last of its data, after the source was looked at once more.
 */
import assert from 'node:assert/strict';

import { changedExtents, ChangesError, type Changes } from '../changes/changes.ts';
import type { Descent } from '../changes/ladder.ts';
import { rungNamed, type OfferedRung } from '../changes/rungs.ts';
import { treeChanges } from '../changes/tree.ts';
import type { CompressorName } from '../repository/content/compression.ts';
import type { ManifestSet } from '../repository/manifest/manifest-set.ts';
import { resolveSnapshot } from '../repository/manifest/snapshot.ts';
import type { ObjectId } from '../repository/object/object-id.ts';
import { adoptTree } from '../repository/tree/adopt-tree.ts';
import { DoneRanges } from '../repository/tree/done-ranges.ts';
import { FlatBuilder } from '../repository/tree/flat-builder.ts';
import { TreeBuilder } from '../repository/tree/tree-builder.ts';
import type { VolumeBuilder } from '../repository/tree/volume-builder.ts';
import { hasCode } from '../std/dray-error.ts';
import { VolumeError } from '../volume/block-source.ts';
import { extent } from '../volume/extent.ts';
import { intersectExtents, normalizeExtents, totalBytes } from '../volume/extents.ts';
import { auditUnchanged } from './backup-audit.ts';
import { decideChanges } from './backup-changes.ts';
import { chooseCompressor } from './backup-compressor.ts';
import { findResumable, openParent } from './backup-parent.ts';
import { BackupRecord, type BackupRecordState } from './backup-record.ts';
import type { AuditResult, BackupParts, BackupRequest, BackupResult } from './backup-request.ts';
import { BackupRun } from './backup-run.ts';
import { damageOf } from './damage.ts';
import { workBytesOf } from './store-tasks.ts';
import { untrustedRungs } from './untrusted-rungs.ts';

/** @throws {BackupError} `degraded`; {ChangesError}, {RepositoryError}, {VolumeError}, {BlobError} */
export async function backup(parts: BackupParts, request: BackupRequest): Promise<BackupResult> {
  const { repository } = parts;
  const { signal } = request;
  const set = parts.manifests ?? (await repository.manifests.load({ signal }));
  const lineage = request.lineage ?? { source: request.origin, canServe: () => true };
  const { base, reason: parentReason } = await openParent({ repository, set }, lineage, wantedParent(set, request), {
    signal,
  });
  const compressor = chooseCompressor({ ...parts, set }, request);
  const identity = await parts.source.identity({ signal });
  const sourceId = request.sourceId ?? identity.fingerprint;
  const untrusted = request.trustChanges ? [] : untrustedRungs(set, lineage.source);
  const { sizeBytes } = parts.source;
  const descent = await decideChanges(request, { sizeBytes, sourceId, base, parentReason, untrusted });
  if (parentReason !== undefined) request.onWarning(parentReason);
  else for (const { rung, reason } of descent.passedOver) request.onWarning(`${rung} is not used: ${reason}`);
  await using writer = await repository.writer(parts.identity, { signal });
  const { fingerprint } = identity;
  const state = { set, base, earlier: lineage.source, sourceId, untrusted, fingerprint, compressor, writer };
  return await new BackupJob(parts, request, state).run(descent);
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

interface JobState extends BackupRecordState {
  /** Of a regular file, at the beginning. */
  readonly fingerprint: string | undefined;
  readonly compressor: CompressorName;
}

class BackupJob {
  readonly #parts: BackupParts;
  readonly #request: BackupRequest;
  readonly #state: JobState;
  readonly #record: BackupRecord;

  constructor(parts: BackupParts, request: BackupRequest, state: JobState) {
    this.#parts = parts;
    this.#request = request;
    this.#state = state;
    this.#record = new BackupRecord(parts, request, state);
  }

  async run(decided: Descent): Promise<BackupResult> {
    try {
      return await this.#run(decided);
    } catch (error) {
      // What no index names yet would fill the store until maintenance finds it.
      if (hasCode(error, 'blob-no-space')) await this.#state.writer.discard(this.#request);
      throw error;
    }
  }

  async #run(decided: Descent): Promise<BackupResult> {
    const { source } = this.#parts;
    const { onWarning, signal } = this.#request;
    const { base } = this.#state;
    const { object: baseObject, changes: adopted } = await this.#adopt(decided.changes);
    let changes = adopted;
    let { passedOver } = decided;
    let audit: (AuditResult & { nextCursor: number }) | undefined;
    const touched = changedExtents(changes);
    if (changes.rung !== 'scan' && touched !== undefined && rungNamed(changes.rung).audited) {
      assert(base !== undefined && baseObject !== undefined);
      const tree = this.#builder(baseObject, base.sizeBytes);
      const cursor = base.tags.auditCursor ?? 0;
      const padTail = this.#request.layout === 'flat-1';
      audit = await auditUnchanged({ ...this.#parts, tree }, { changed: touched, cursor, padTail, signal });
      if (audit.missed.length > 0) {
        const { rung } = changes;
        changes = this.#distrust(rung, audit);
        passedOver = [...passedOver, { rung, reason: changes.reason }];
        onWarning(changes.reason);
      }
    }
    const work = this.#record.work(changes);
    const { earlier } = this.#state;
    const resumed = await findResumable({ ...this.#state, ...this.#parts }, earlier, work, { signal });
    if (resumed !== undefined) this.#record.goOnFrom(resumed.volume.snapshot.id);
    const done = resumed === undefined ? new DoneRanges() : DoneRanges.from(resumed.checkpoint.done);
    await using run = this.#backupRun(changes, done);
    const below = resumed?.volume.object ?? (changes.rung === 'scan' ? undefined : baseObject);
    const belowBytes = resumed === undefined ? base?.sizeBytes : source.sizeBytes;
    const tree = this.#builder(below, belowBytes);
    await run.process(tree, changedExtents(changes));
    const root = await tree.finish();
    await this.#checkSource();
    const snapshot = await this.#record.complete(root, changes, {
      passedOver,
      storedBytes: run.counts.packedBytes,
      audit,
    });
    const check = (): void => this.#parts.repository.requireTrustedIndex();
    await this.#state.writer.finish({ sealOthers: async () => await run.seal(), check });
    const changedBytes = await this.#changedBytes(root);
    const { sizeBytes } = source;
    const parent = base?.snapshot.id;
    const reported = changedExtents(changes);
    return {
      snapshot,
      parent,
      changes,
      passedOver,
      reportedBytes: reported && totalBytes(reported),
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
    if (base === undefined || changes.rung === 'scan' || base.tags.layout === this.#request.layout) {
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

  #backupRun(changes: Changes, done: DoneRanges): BackupRun {
    const { repository, source, clock } = this.#parts;
    const { store, parallel, workers, checkpointBytes, onProgress, signal, layout } = this.#request;
    const workBytes = workBytesOf(changedExtents(changes), source.sizeBytes);
    return new BackupRun(
      { repository, writer: this.#state.writer, source, clock },
      {
        done,
        workBytes,
        worker: { store, compressor: this.#state.compressor, padTail: layout === 'flat-1' },
        parallel,
        workers,
        checkpointBytes,
        recordCheckpoint: async (root, done) => await this.#record.checkpoint(root, changes, done),
        onProgress: (counts) => onProgress(counts, workBytes),
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

  /** The source has been caught: what was made through it is marked, and this run reads everything. */
  #distrust(rung: OfferedRung, audit: AuditResult): Changes {
    const where = `${audit.missed.length} of ${audit.chunks} audited chunks had changed unlisted, first at ${audit.missed[0]}`;
    this.#record.distrust(rung, where);
    return { rung: 'scan', reason: `the change source (${rung}) is not trusted: ${where}` };
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
      return (await treeChanges(repository, { before, after }, { signal })).changedBytes;
    } catch (error) {
      const reason = damageOf(error);
      this.#request.onWarning(`the parent ${base.snapshot.id} is damaged, run "dray repository verify": ${reason}`);
      return undefined;
    }
  }
}
