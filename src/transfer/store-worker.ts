/**
 * The worker thread of a backup: one chunk goes read, zero?, hash, known?, compress, seal, pack. Reads run ahead of
 * the work by the tasks that the main thread hands out early; packs travel behind it. Everything in between is
 * synchronous on memory that this worker owns.
 */
import { workerData } from 'node:worker_threads';

import { openBlobStore } from '../blobs/open-blob-store.ts';
import { AlignedMemory } from '../kernel/aligned-memory.ts';
import { ContentCodec } from '../repository/content/content-codec.ts';
import { contentIdOf } from '../repository/content/content-id.ts';
import { IndexLookup } from '../repository/index/index-lookup.ts';
import { PackWriter } from '../repository/pack/pack-writer.ts';
import { systemClock } from '../std/clock.ts';
import { systemRng } from '../std/rng.ts';
import { emitEvent, serveTasks } from '../std/serve-tasks.ts';
import { extent } from '../volume/extent.ts';
import { reopenSource } from '../volume/file-source.ts';
import { ClaimTable } from './claim-table.ts';
import {
  taskBytes,
  tasksPerWorker,
  type PackStored,
  type StoredLeaves,
  type StoreTask,
  type StoreWorkerData,
} from './store-messages.ts';

/** Buffers of the pack writer: one fills while the others travel. */
const packBufferBytes = 4 * 1024 * 1024;
const packBuffers = 3;

const data = workerData as StoreWorkerData;
const stop = new AbortController();
const codec = new ContentCodec(data.format);
const claims = new ClaimTable(data.claims);
const slots = AlignedMemory.allocate({ slotBytes: taskBytes, slots: tasksPerWorker });
const freeSlots = Array.from({ length: tasksPerWorker }, (_, slot) => slots.slot(slot));
const zeroLeaf = Buffer.alloc(data.leafBytes);
const zeroHash = codec.hash(zeroLeaf);
let lookup = new IndexLookup(data.index);

const source = await reopenSource(data.source, { signal: stop.signal });
const store = await openBlobStore(data.store, { signal: stop.signal, clock: systemClock, rng: systemRng });
const packs = new PackWriter(
  { codec, store, clock: systemClock, rng: systemRng },
  {
    kind: 'p',
    maxPackSizeBytes: data.format.maxPackSizeBytes,
    formatVersion: data.format.version,
    indexVersion: data.format.indexVersion,
    sessionId: data.sessionId,
    bufferBytes: packBufferBytes,
    buffers: packBuffers,
    onPack: (entries) => emitEvent({ entries } satisfies PackStored),
    signal: stop.signal,
  },
);

/** Tasks are worked on in the order in which they came; only their reads overlap. */
let lastTask: Promise<unknown> = Promise.resolve();

serveTasks<StoreTask>({
  async handle(task) {
    const before = lastTask;
    const own = run(task, before);
    lastTask = own.catch(() => undefined);
    return await own;
  },
  async close() {
    stop.abort(new Error('the worker was closed'));
    await lastTask;
    await packs[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
    await source[Symbol.asyncDispose]();
  },
});

async function run(task: StoreTask, before: Promise<unknown>): Promise<StoredLeaves | undefined> {
  switch (task.kind) {
    case 'store':
    case 'hash': {
      const slot = freeSlots.pop() ?? Buffer.alloc(taskBytes);
      try {
        const reading = read(task, slot);
        reading.catch(() => undefined);
        await before;
        return await storeLeaves(slot.subarray(0, await reading), task.kind === 'store');
      } finally {
        if (freeSlots.length < tasksPerWorker) freeSlots.push(slot);
      }
    }
    case 'seal':
      await before;
      claims.switchTo(task.generation);
      await packs.seal(task.sessionId);
      return undefined;
    case 'index':
      await before;
      lookup = new IndexLookup(task.index);
      return undefined;
  }
}

/** @returns the bytes to make leaves of; more than was asked for when the tail is padded. */
async function read(task: { offset: number; lengthBytes: number }, slot: Uint8Array): Promise<number> {
  const { offset, lengthBytes } = task;
  await source.read(extent(offset, lengthBytes), slot.subarray(0, lengthBytes), { signal: stop.signal });
  if (!data.padTail) return lengthBytes;
  const padded = Math.ceil(lengthBytes / data.leafBytes) * data.leafBytes;
  slot.fill(0, lengthBytes, padded);
  return padded;
}

async function storeLeaves(bytes: Uint8Array, keep: boolean): Promise<StoredLeaves> {
  const leaves = Math.ceil(bytes.length / data.leafBytes);
  const hashes = new Uint8Array(leaves * codec.hashLengthBytes);
  const counts = { zeroLeaves: 0, newLeaves: 0, newBytes: 0, packedBytes: 0 };
  for (let leaf = 0; leaf < leaves; leaf++) {
    const plain = bytes.subarray(leaf * data.leafBytes, (leaf + 1) * data.leafBytes);
    const zero = isZeroLeaf(plain);
    const hash = zero ? zeroHash : codec.hash(plain);
    hashes.set(hash, leaf * codec.hashLengthBytes);
    if (zero) {
      // The main thread stores the one zero leaf that all holes share.
      counts.zeroLeaves++;
    } else if (keep && !claims.has(hash)) {
      const known = lookup.state(0, hash);
      if (known?.deleted !== false && claims.claim(hash)) {
        const entry = await packs.add(contentIdOf('', hash), plain, data.compressor, known?.timestampSeconds);
        counts.newLeaves++;
        counts.newBytes += plain.length;
        counts.packedBytes += entry.packedLength;
      }
    }
  }
  return { hashes, ...counts };
}

/** Looks at both ends first: nearly all data that is not zero is told apart by that alone. */
function isZeroLeaf(plain: Uint8Array): boolean {
  if (plain.length !== data.leafBytes || plain[0] !== 0 || plain[plain.length - 1] !== 0) return false;
  return zeroLeaf.compare(plain) === 0;
}
