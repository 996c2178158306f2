/**
 * The pass of a restore over its volume: the leaves of the snapshot, in order, go to the fetch workers. The watermark
 * is the offset before which everything is written; it is recorded only after the target was flushed, so a resumed run
 * starts there and redoes at most one interval (`checkpoints.ts`): where the target is slow to flush, fetching waits.
 */
import { leaves } from '../repository/object/object-reader.ts';
import type { ObjectId } from '../repository/object/object-id.ts';
import type { Repository } from '../repository/repository.ts';
import type { Clock } from '../std/clock.ts';
import type { BlobStoreLocation } from '../blobs/location.ts';
import type { BlockTarget } from '../volume/block-target.ts';
import { extent } from '../volume/extent.ts';
import { Checkpoints } from './checkpoints.ts';
import type { FetchWorkers, LeavesTask, ZeroTask } from './fetch-messages.ts';
import { FetchQueue } from './fetch-queue.ts';
import { RunFailure } from './run-failure.ts';
import { leafTasks, zeroTest, type LeafTask } from './leaf-tasks.ts';

export interface RestoreRunParts {
  readonly repository: Repository;
  readonly target: BlockTarget;
  readonly clock: Clock;
}

export interface RestoreRunOptions {
  readonly root: ObjectId;
  /** The real size of the volume, at most that of the object. */
  readonly sizeBytes: number;
  readonly store: BlobStoreLocation;
  readonly parallel: number;
  /** As many as `parallel`, loading already; made when they are needed, else. */
  readonly workers?: FetchWorkers | undefined;
  /** Before this offset, read what the target holds and write only what differs; 0 for nowhere. */
  readonly deltaBelow: number;
  /** Everything before this offset is there already, from an interrupted run. */
  readonly resumeFrom: number;
  /** Called with a watermark that is durable. */
  readonly recordWatermark: (offset: number) => Promise<void>;
  readonly onProgress: (counts: RestoreCounts) => void;
  readonly signal: AbortSignal;
}

export interface RestoreCounts {
  readonly doneBytes: number;
  readonly zeroBytes: number;
  readonly fetchedBytes: number;
  readonly packedBytes: number;
  readonly writtenBytes: number;
}

/** Zeroing a device takes time; one task covers at most this much of a hole. */
const zeroTaskBytes = 1024 * 1024 * 1024;

interface OpenTask {
  readonly offset: number;
  /** What had been handed out before it, bytes. */
  readonly handedOutBefore: number;
  /** Never rejects. */
  readonly work: Promise<void>;
}

export class RestoreRun implements AsyncDisposable {
  readonly #parts: RestoreRunParts;
  readonly #options: RestoreRunOptions;
  readonly #checkpoints: Checkpoints;
  /** By offset, in the order of offsets. */
  readonly #open = new Map<number, OpenTask>();
  readonly #counts = { doneBytes: 0, zeroBytes: 0, fetchedBytes: 0, packedBytes: 0, writtenBytes: 0 };
  readonly #queue: FetchQueue;
  /** Where the next task begins: everything before it has been handed out. */
  #position: number;
  readonly #failure: RunFailure;

  constructor(parts: RestoreRunParts, options: RestoreRunOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#checkpoints = new Checkpoints(parts.clock, {
      workBytes: options.sizeBytes,
      completeBytes: () => this.#firstOpen()?.handedOutBefore ?? this.#checkpoints.handedOutBytes,
      write: async () => await this.#record(),
      onFailure: (error) => this.#failure.note(error),
    });
    this.#position = options.resumeFrom;
    const { store, parallel, workers, sizeBytes, signal } = options;
    const output = { kind: 'volume', target: parts.target.location, sizeBytes } as const;
    this.#queue = new FetchQueue(parts.repository, { output, store, parallel, workers, signal });
    this.#failure = new RunFailure(signal, (reason) => this.#queue.abort(reason));
  }

  /** Writes everything; when it resolves the whole volume is verified and on stable storage. */
  async process(): Promise<RestoreCounts> {
    const { repository, target } = this.#parts;
    const { root, sizeBytes, resumeFrom, signal } = this.#options;
    this.#count({ doneBytes: resumeFrom });
    if (sizeBytes > resumeFrom) {
      const within = extent(resumeFrom, sizeBytes - resumeFrom);
      const batches = leaves(repository, root, { within, compressed: true, signal });
      const isZero = zeroTest((bytes) => repository.codec.hash(bytes));
      for await (const task of leafTasks(batches, { isZero, sizeBytes })) {
        this.#failure.throwIfAny();
        await this.#hand(task);
        this.#checkpoints.beginIfDue();
      }
    }
    await Promise.all([...this.#open.values()].map(({ work }) => work));
    await this.#checkpoints.settled();
    this.#failure.throwIfAny();
    await target.flush({ signal });
    return { ...this.#counts };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#failure[Symbol.dispose]();
    await this.#queue[Symbol.asyncDispose]();
    await this.#checkpoints.settled();
  }

  async #hand(task: LeafTask): Promise<void> {
    const { target } = this.#parts;
    const { deltaBelow, sizeBytes } = this.#options;
    const delta = task.offset < deltaBelow;
    if (task.kind === 'leaves') {
      const lengthBytes = Math.min(task.lengthBytes, sizeBytes - task.offset);
      await this.#submit(task.offset, lengthBytes, { kind: delta ? 'delta' : 'fetch', leaves: task.leaves });
      return;
    }
    this.#count({ zeroBytes: task.lengthBytes });
    if (target.location.zeroed) {
      this.#count({ doneBytes: task.lengthBytes });
      this.#position = task.offset + task.lengthBytes;
      return;
    }
    // Punching a hole twice costs nothing; writing zeros to a device does.
    const compare = delta && target.location.kind === 'device';
    for (let done = 0; done < task.lengthBytes; done += zeroTaskBytes) {
      const offset = task.offset + done;
      const lengthBytes = Math.min(zeroTaskBytes, task.lengthBytes - done);
      await this.#submit(offset, lengthBytes, { kind: 'zero', offset, lengthBytes, compare });
    }
  }

  async #submit(offset: number, lengthBytes: number, task: LeavesTask | ZeroTask): Promise<void> {
    await this.#queue.ready();
    const handedOutBefore = this.#checkpoints.handedOutBytes;
    await this.#checkpoints.handOut(lengthBytes, () => this.#progress());
    await this.#queue.submit(task, (outcome) => {
      const work = outcome
        .then(({ fetchedBytes, packedBytes, writtenBytes }) => {
          this.#count({ doneBytes: lengthBytes, fetchedBytes, packedBytes, writtenBytes });
          this.#open.delete(offset);
        })
        .catch((error: unknown) => this.#failure.note(error));
      this.#open.set(offset, { offset, handedOutBefore, work });
    });
    this.#position = offset + lengthBytes;
  }

  #firstOpen(): OpenTask | undefined {
    return this.#open.values().next().value;
  }

  /** What may move the watermark; a failure is thrown. */
  #progress(): Promise<void> | undefined {
    this.#failure.throwIfAny();
    return this.#firstOpen()?.work;
  }

  /** Flushes, then records how far everything was written before. */
  async #record(): Promise<void> {
    const watermark = this.#firstOpen()?.offset ?? this.#position;
    await this.#parts.target.flush({ signal: this.#options.signal });
    await this.#options.recordWatermark(watermark);
  }

  #count(step: Partial<RestoreCounts>): void {
    for (const [name, bytes] of Object.entries(step)) this.#counts[name as keyof RestoreCounts] += bytes;
    this.#options.onProgress(this.#counts);
  }
}
