/**
 * The worker thread of a restore: locate, read from the pack, open, check, write. Contents that lie one behind the
 * other in a pack are read together, so that a run of chunks costs one request. A chunk's id is computed again from
 * the opened bytes before a byte of it reaches the target.
 */

import { openBlobStore } from '../blobs/open-blob-store.ts';
import { AlignedMemory } from '../kernel/aligned-memory.ts';
import { ContentCodec } from '../repository/content/content-codec.ts';
import { hashOf, prefixOf } from '../repository/content/content-id.ts';
import type { IndexEntry } from '../repository/index/index-entry.ts';
import { IndexLookup } from '../repository/index/index-lookup.ts';
import { RepositoryError } from '../repository/repository-error.ts';
import { systemClock } from '../std/clock.ts';
import { hasCode } from '../std/dray-error.ts';
import { systemRng } from '../std/rng.ts';
import { prepared, serveTasks, taskData } from '../std/serve-tasks.ts';
import { extent } from '../volume/extent.ts';
import { reopenTarget } from '../volume/file-target.ts';
import {
  fetchTaskBytes,
  fetchTasksPerWorker,
  type Fetched,
  type FetchLeaf,
  type FetchTask,
  type FetchWorkerData,
  type LeavesTask,
} from './fetch-messages.ts';
import { packReads, type PackRead } from './pack-reads.ts';
import { dataRuns, isZero } from './zero-runs.ts';

const data = await taskData<FetchWorkerData>();
const stop = new AbortController();
const { signal } = stop;
const codec = new ContentCodec(data.format);
let lookup = await prepared(() => new IndexLookup(data.index));
const store = await prepared(() => openBlobStore(data.store, { signal, clock: systemClock, rng: systemRng }));
const target = await prepared(() => reopenTarget(data.target, { signal }));

/** Two slots a task: what is read from packs, and what is written to the volume. */
const slotBytes = fetchTaskBytes + 64 * 1024;
const memory = AlignedMemory.allocate({ slotBytes, slots: fetchTasksPerWorker * 2 });
const freeSlots = Array.from({ length: fetchTasksPerWorker * 2 }, (_, slot) => memory.slot(slot));

serveTasks<FetchTask>({
  async handle(task) {
    switch (task.kind) {
      case 'fetch':
      case 'delta':
        return await fetchIfThere(task);
      case 'index':
        // Leaves are located all at once, with nothing awaited in between: no task is in the middle of the old tables.
        lookup = new IndexLookup(task.index);
        return undefined;
      case 'zero':
        return await zero(task);
    }
  },
  async close() {
    stop.abort(new Error('the worker was closed'));
    await target[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
  },
});

/** Maintenance moves contents and removes the packs that they were in: what is not there may be elsewhere. */
async function fetchIfThere({ kind, leaves, again = false }: LeavesTask): Promise<Fetched | 'gone'> {
  const wanted = kind === 'delta' ? await differing(leaves) : leaves;
  try {
    return await fetchLeaves(wanted);
  } catch (error) {
    const gone = error instanceof RepositoryError && isGone(error.cause);
    if (gone && !again) return 'gone';
    throw error;
  }
}

function isGone(cause: unknown): boolean {
  return hasCode(cause, 'blob-not-found') || hasCode(cause, 'content-missing');
}

async function fetchLeaves(leaves: readonly FetchLeaf[]): Promise<Fetched> {
  if (leaves.length === 0) return nothing;
  const first = leaves[0]!.offset;
  const last = leaves[leaves.length - 1]!;
  using output = takeSlot(last.offset + last.lengthBytes - first);
  let packedBytes = 0;
  for (const read of packReads(leaves.map((leaf) => ({ leaf, entry: locate(leaf) })))) {
    packedBytes += read.lengthBytes;
    await openAll(read, first, output.bytes);
  }
  const fetchedBytes = leaves.reduce((sum, leaf) => sum + leaf.lengthBytes, 0);
  return { fetchedBytes, packedBytes, writtenBytes: await write(leaves, first, output.bytes) };
}

const nothing: Fetched = { fetchedBytes: 0, packedBytes: 0, writtenBytes: 0 };

function locate(leaf: FetchLeaf): IndexEntry {
  const prefix = prefixOf(leaf.contentId);
  const entry = lookup.find(prefix === '' ? 0 : prefix.charCodeAt(0), hashOf(leaf.contentId));
  if (entry !== undefined) return entry;
  throw damaged(leaf, new RepositoryError('content-missing', `no index entry for content ${leaf.contentId}`));
}

/** Reads one stretch of a pack and opens every content in it into the output. */
async function openAll(read: PackRead, first: number, output: Uint8Array): Promise<void> {
  using input = takeSlot(read.lengthBytes);
  const range = { offset: read.offset, lengthBytes: read.lengthBytes };
  let sealed: Uint8Array;
  try {
    sealed = await store.get(read.blob, { signal, range, into: input.bytes });
  } catch (error) {
    if (hasCode(error, 'blob-not-found') || hasCode(error, 'blob-range')) throw damaged(read.contents[0]!.leaf, error);
    throw error;
  }
  for (const { leaf, entry } of read.contents) {
    const start = entry.packOffset - read.offset;
    const plain = output.subarray(leaf.offset - first, leaf.offset - first + leaf.lengthBytes);
    openLeaf(leaf, entry, sealed.subarray(start, start + entry.packedLength), plain);
  }
}

/** Opens a chunk where it is to be written from, and hashes it there. */
function openLeaf(leaf: FetchLeaf, entry: IndexEntry, sealed: Uint8Array, plain: Uint8Array): void {
  if (entry.originalLength !== leaf.lengthBytes) {
    const found = `content ${leaf.contentId} has ${entry.originalLength} bytes, not ${leaf.lengthBytes}`;
    throw damaged(leaf, new RepositoryError('corrupt', found));
  }
  try {
    codec.openInto(entry, sealed, plain, { verify: true });
  } catch (error) {
    if (hasCode(error, 'corrupt')) throw damaged(leaf, error);
    throw error;
  }
}

/** No damaged byte may reach the target: the run stops, and says where. */
function damaged(leaf: FetchLeaf, cause: unknown): RepositoryError {
  return new RepositoryError('corrupt', `fetch ${leaf.lengthBytes} bytes at ${leaf.offset} of the volume`, { cause });
}

/** Writes the chunks as few, long extents; long runs of zeros become holes. @returns bytes written as data */
async function write(leaves: readonly FetchLeaf[], first: number, output: Uint8Array): Promise<number> {
  let written = 0;
  for (const run of touching(leaves)) {
    const lengthBytes = Math.min(run.lengthBytes, data.sizeBytes - run.offset);
    const bytes = output.subarray(run.offset - first, run.offset - first + lengthBytes);
    for (const part of dataRuns(bytes)) {
      const range = extent(run.offset + part.start, part.lengthBytes);
      if (part.zero) {
        if (!target.location.zeroed) await target.zero(range, { signal });
      } else {
        await target.write(range, bytes.subarray(part.start, part.start + part.lengthBytes), { signal });
        written += part.lengthBytes;
      }
    }
  }
  return written;
}

function* touching(leaves: readonly FetchLeaf[]): Generator<{ offset: number; lengthBytes: number }> {
  let run: { offset: number; lengthBytes: number } | undefined;
  for (const leaf of leaves) {
    if (run !== undefined && run.offset + run.lengthBytes === leaf.offset) {
      run.lengthBytes += leaf.lengthBytes;
    } else {
      if (run !== undefined) yield run;
      run = { offset: leaf.offset, lengthBytes: leaf.lengthBytes };
    }
  }
  if (run !== undefined) yield run;
}

/** The chunks whose present bytes in the target do not hash to their id. */
async function differing(leaves: readonly FetchLeaf[]): Promise<FetchLeaf[]> {
  const first = leaves[0]!.offset;
  const last = leaves[leaves.length - 1]!;
  const lengthBytes = last.offset + last.lengthBytes - first;
  using present = takeSlot(lengthBytes);
  const readBytes = Math.min(lengthBytes, data.sizeBytes - first);
  await target.read(extent(first, readBytes), present.bytes.subarray(0, readBytes), { signal });
  present.bytes.fill(0, readBytes, lengthBytes);
  return leaves.filter((leaf) => {
    const bytes = present.bytes.subarray(leaf.offset - first, leaf.offset - first + leaf.lengthBytes);
    return hashOf(leaf.contentId).compare(codec.hash(bytes)) !== 0;
  });
}

async function zero(task: { offset: number; lengthBytes: number; compare: boolean }): Promise<Fetched> {
  if (!task.compare) {
    await target.zero(extent(task.offset, task.lengthBytes), { signal });
    return nothing;
  }
  let writtenBytes = 0;
  using present = takeSlot(fetchTaskBytes);
  for (let done = 0; done < task.lengthBytes; done += fetchTaskBytes) {
    const range = extent(task.offset + done, Math.min(fetchTaskBytes, task.lengthBytes - done));
    const bytes = present.bytes.subarray(0, range.lengthBytes);
    await target.read(range, bytes, { signal });
    if (!isZero(bytes)) {
      await target.zero(range, { signal });
      writtenBytes += range.lengthBytes;
    }
  }
  return { ...nothing, writtenBytes };
}

/** A slot of this worker's memory, or a buffer of its own for a foreign chunk that is larger than any of ours. */
function takeSlot(lengthBytes: number): Disposable & { readonly bytes: Uint8Array } {
  const slot = lengthBytes <= slotBytes ? freeSlots.pop() : undefined;
  if (slot === undefined) return { bytes: new Uint8Array(lengthBytes), [Symbol.dispose]: () => undefined };
  return { bytes: slot, [Symbol.dispose]: () => void freeSlots.push(slot) };
}
