/**
 * The pass of a backup over its volume: the plan's reads go to the store workers, their answers become nodes of the
 * tree, and every so often all that is done is made durable (`checkpoints.ts`) while the reading goes on.
 *
 * Why a checkpoint never names what is not durable: it covers the nodes that were complete when it began. Every leaf
 * of these had been claimed, by whichever worker, before that; the `seal` that follows reaches each worker after its
 * claims, and returns when the packs that hold them are durable. Only then is the index written.
 */
import assert from 'node:assert/strict';

import { contentIdOf, type ContentId } from '../repository/content/content-id.ts';
import type { Repository } from '../repository/repository.ts';
import type { RepositoryWriter } from '../repository/repository-writer.ts';
import type { DoneRanges } from '../repository/tree/done-ranges.ts';
import type { ObjectId } from '../repository/object/object-id.ts';
import type { LeafId, VolumeBuilder } from '../repository/tree/volume-builder.ts';
import { leafBytes, nodeLeaves } from '../repository/tree/volume-layout.ts';
import type { Clock } from '../std/clock.ts';
import type { BlockSource } from '../volume/block-source.ts';
import type { Extent } from '../volume/extent.ts';
import { totalBytes } from '../volume/extents.ts';
import { Checkpoints } from './checkpoints.ts';
import { RunFailure } from './run-failure.ts';
import { planNodes, type PlanItem } from './node-plan.ts';
import { allocateClaims, ClaimTable, type ClaimMemory } from './claim-table.ts';
import { storeWorkers, taskBytes, type StoreWorkerData, type StoreWorkers } from './store-messages.ts';
import { bytesOf, leafExtent, splitHashes, storeTasks } from './store-tasks.ts';

export interface BackupRunParts {
  readonly repository: Repository;
  readonly writer: RepositoryWriter;
  readonly source: BlockSource;
  readonly clock: Clock;
}

export interface BackupRunOptions {
  readonly worker: Pick<StoreWorkerData, 'store' | 'compressor' | 'padTail'>;
  readonly parallel: number;
  /** As many as `parallel`, loading already; else made when they are needed, no more than there is work for. */
  readonly workers?: StoreWorkers | undefined;
  /** Nodes that an earlier run has done; grows with this one. */
  readonly done: DoneRanges;
  /** What the run will look at, bytes; for the checkpoint interval. */
  readonly workBytes: number;
  /** Instead of the interval that follows from the work. */
  readonly checkpointBytes?: number | undefined;
  /** Writes the incomplete snapshot of this tree; what it writes becomes durable with the flush that follows. */
  readonly recordCheckpoint: (root: ObjectId, done: DoneRanges) => Promise<void>;
  readonly onProgress: (counts: BackupCounts) => void;
  readonly signal: AbortSignal;
}

/** Bytes of the volume by what became of them. */
export interface BackupCounts {
  /** Read from the source. */
  readonly readBytes: number;
  /** Known to be zero without being read, or read as zeros. */
  readonly zeroBytes: number;
  /** Not found in the repository, so stored. */
  readonly newBytes: number;
  /** What the new chunks take in packs. */
  readonly packedBytes: number;
  /** Read or known to be zero in this run, plus what an earlier run had done. */
  readonly doneBytes: number;
}

/** Nodes whose tree writes may be under way at once. */
const settlingMax = 32;
const claimSlotsMin = 16_384;

export class BackupRun implements AsyncDisposable {
  readonly #parts: BackupRunParts;
  readonly #options: BackupRunOptions;
  readonly #checkpoints: Checkpoints;
  readonly #settling = new Set<Promise<void>>();
  readonly #zeroLeaf: ContentId;
  readonly #counts = { readBytes: 0, zeroBytes: 0, newBytes: 0, packedBytes: 0, doneBytes: 0 };
  #group: StoreWorkers | undefined;
  #claims: { readonly table: ClaimTable; readonly memory: ClaimMemory } | undefined;
  #generation = 0;
  /** Read, of nodes that are in the tree. */
  #wholeBytes = 0;
  #tree: VolumeBuilder | undefined;
  readonly #failure: RunFailure;

  constructor(parts: BackupRunParts, options: BackupRunOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#checkpoints = new Checkpoints(parts.clock, {
      workBytes: options.workBytes,
      intervalBytes: options.checkpointBytes,
      completeBytes: () => this.#wholeBytes,
      write: async () => await this.#checkpoint(),
      onFailure: (error) => this.#failure.note(error),
    });
    this.#zeroLeaf = contentIdOf('', parts.repository.codec.hash(new Uint8Array(leafBytes)));
    this.#failure = new RunFailure(options.signal, (reason) => this.#group?.abort(reason));
  }

  get counts(): BackupCounts {
    return { ...this.#counts };
  }

  /** Brings the tree up to date with the source for the touched extents (all, when undefined). Once. */
  async process(tree: VolumeBuilder, touched: readonly Extent[] | undefined): Promise<void> {
    const { source } = this.#parts;
    this.#tree = tree;
    const { done, signal } = this.#options;
    for await (const item of planNodes(source, touched, { signal })) {
      signal.throwIfAborted();
      this.#failure.throwIfAny();
      if (item.kind === 'zero-nodes') await this.#zeroNodes(item.first, item.nodes);
      else if (done.has(item.node)) this.#count({ doneBytes: bytesOf([...item.read, ...item.zero]) });
      else await this.#node(item);
      this.#checkpoints.beginIfDue();
    }
    await this.#settle(0);
    await this.#checkpoints.settled();
    this.#failure.throwIfAny();
  }

  /** Everything that workers hold becomes durable and known to the writer. */
  async seal(): Promise<void> {
    if (this.#group === undefined) return;
    this.#generation++;
    this.#claims?.table.switchTo(this.#generation);
    await this.#group.broadcast({ kind: 'seal', generation: this.#generation });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#failure[Symbol.dispose]();
    await this.#group?.[Symbol.asyncDispose]();
    await this.#checkpoints.settled();
    await Promise.allSettled(this.#settling);
  }

  async #zeroNodes(first: number, nodes: number): Promise<void> {
    const { source } = this.#parts;
    await this.#builder.setZeroNodes(first, nodes);
    this.#options.done.add(first, nodes);
    const nodeBytes = leafBytes * nodeLeaves;
    const bytes = Math.min((first + nodes) * nodeBytes, source.sizeBytes) - first * nodeBytes;
    this.#count({ zeroBytes: bytes, doneBytes: bytes });
  }

  async #node(item: PlanItem & { readonly kind: 'node' }): Promise<void> {
    const { repository, source } = this.#parts;
    const firstLeaf = item.node * nodeLeaves;
    /** By the leaf's number in the node; undefined is a leaf of zeros. */
    const changed = new Map<number, LeafId>();
    for (const { first, leaves } of item.zero) {
      for (let leaf = first; leaf < first + leaves; leaf++) changed.set(leaf - firstLeaf, undefined);
    }
    this.#count({ zeroBytes: bytesOf(item.zero), doneBytes: bytesOf(item.zero) });
    const tasks = storeTasks(item.read);
    let open = tasks.length;
    const readBytes = totalBytes(item.read.map((range) => leafExtent(range, source.sizeBytes)));
    for (const ranges of tasks) {
      const extents = ranges.map((range) => leafExtent(range, source.sizeBytes));
      const taskReadBytes = totalBytes(extents);
      await this.#checkpoints.handOut(taskReadBytes, () => this.#progress());
      await this.#workers().submit({ kind: 'store', extents }, (outcome) => {
        this.#track(
          outcome.then(async (stored) => {
            assert(stored !== undefined);
            const ids = splitHashes(stored.hashes, repository.codec.hashLengthBytes).values();
            for (const { first, leaves } of ranges) {
              for (let leaf = first; leaf < first + leaves; leaf++) {
                const id = ids.next().value;
                assert(id !== undefined);
                changed.set(leaf - firstLeaf, id === this.#zeroLeaf ? undefined : id);
              }
            }
            const { zeroLeaves, newBytes, packedBytes } = stored;
            const zeroBytes = zeroLeaves * leafBytes;
            this.#count({ readBytes: taskReadBytes, zeroBytes, newBytes, packedBytes, doneBytes: taskReadBytes });
            if (--open > 0) return;
            await this.#setNode(item, changed);
            this.#wholeBytes += readBytes;
          }),
        );
      });
    }
    if (tasks.length === 0) await this.#setNode(item, changed);
    await this.#settle(settlingMax);
  }

  async #setNode(item: PlanItem & { readonly kind: 'node' }, changed: Map<number, LeafId>): Promise<void> {
    const tree = this.#builder;
    if (item.whole) {
      const leaves = Array.from({ length: changed.size }, (_, leaf) => changed.get(leaf));
      await tree.setNode(item.node, leaves);
    } else {
      await tree.patchNode(item.node, changed);
    }
    this.#options.done.add(item.node, 1);
  }

  /** What may complete a node; a failure is thrown. */
  #progress(): Promise<void> | undefined {
    this.#failure.throwIfAny();
    return this.#settling.size > 0 ? Promise.race(this.#settling) : undefined;
  }

  async #checkpoint(): Promise<void> {
    const { writer, repository } = this.#parts;
    const { signal } = this.#options;
    const done = this.#options.done.clone();
    await this.#options.recordCheckpoint(await this.#builder.checkpoint(), done);
    const ended = this.#generation;
    const check = (): void => repository.requireTrustedIndex();
    await writer.flush({ sealOthers: async () => await this.seal(), check });
    await repository.refreshIfOld({ signal });
    await this.#group?.broadcast({ kind: 'index', index: repository.index.lookupLocation() });
    repository.index.closeRetired();
    this.#claims?.table.clear(ended);
  }

  #workers(): StoreWorkers {
    if (this.#group !== undefined) return this.#group;
    const { repository, source, writer } = this.#parts;
    const { codec, opened, index } = repository;
    const leavesBetweenFlushes = (this.#checkpoints.intervalBytes / leafBytes) * 4;
    const slots = 2 ** Math.ceil(Math.log2(Math.max(claimSlotsMin, leavesBetweenFlushes)));
    const memory = allocateClaims({ slots, hashLengthBytes: codec.hashLengthBytes });
    this.#claims = { table: new ClaimTable(memory), memory };
    const { workers, parallel, workBytes } = this.#options;
    const group = workers ?? storeWorkers(Math.min(parallel, Math.max(1, Math.ceil(workBytes / taskBytes))));
    const data: StoreWorkerData = {
      ...this.#options.worker,
      source: source.location,
      format: opened.format,
      index: index.lookupLocation(),
      claims: memory,
      sessionId: writer.sessionId,
      leafBytes,
      workers: group.size,
    };
    this.#group = group;
    group.begin(data, { onEvent: ({ entries }) => writer.addEntries(entries) });
    return group;
  }

  get #builder(): VolumeBuilder {
    assert(this.#tree !== undefined);
    return this.#tree;
  }

  #track(work: Promise<void>): void {
    const tracked = work
      .catch((error: unknown) => this.#failure.note(error))
      .finally(() => this.#settling.delete(tracked));
    this.#settling.add(tracked);
  }

  async #settle(max: number): Promise<void> {
    while (this.#settling.size > max) await Promise.race(this.#settling);
    this.#failure.throwIfAny();
  }

  #count(step: Partial<BackupCounts>): void {
    for (const [name, bytes] of Object.entries(step)) this.#counts[name as keyof BackupCounts] += bytes;
    this.#options.onProgress(this.#counts);
  }
}
