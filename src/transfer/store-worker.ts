/**
 * The worker thread of a backup: one chunk goes read, zero?, hash, known?, compress, seal, pack. Reads run ahead of
 * the work where they must be waited for (`read-ahead.ts`); packs travel behind it. Everything in between is
 * synchronous on memory that this worker owns.
 */
import assert from 'node:assert/strict';

import { openBlobStore } from '../blobs/open-blob-store.ts';
import { ContentCodec } from '../repository/content/content-codec.ts';
import { contentIdOf } from '../repository/content/content-id.ts';
import { IndexLookup } from '../repository/index/index-lookup.ts';
import { PackWriter } from '../repository/pack/pack-writer.ts';
import { systemClock } from '../std/clock.ts';
import { loopTurn } from '../std/loop-turn.ts';
import { systemRng } from '../std/rng.ts';
import { emitEvent, prepared, serveTasks, taskData } from '../std/serve-tasks.ts';
import type { Extent } from '../volume/extent.ts';
import { ClaimTable } from './claim-table.ts';
import { ReadAhead } from './read-ahead.ts';
import { reopenAnySource } from './reopen-source.ts';
import type { PackStored, StoredLeaves, StoreTask, StoreWorkerData } from './store-messages.ts';

/**
 * Buffers of the pack writer: one fills while the others travel. The odd 16 KiB are for what sealing adds, and for the head of a
 * pack: four leaves that do not compress fit.
 */
const packBufferBytes = 4 * 1024 * 1024 + 16 * 1024;
const packBuffers = 3;
/** Reads under way, and packs being committed: of all workers, and of one. On their way to a bucket these are held whole. */
const readSlots = { total: 8, min: 2, max: 4 };
const committing = { directory: { total: 4, min: 1, max: 2 }, s3: { total: 2, min: 1, max: 2 } };

const data = await taskData<StoreWorkerData>();
const stop = new AbortController();
const codec = new ContentCodec(data.format);
const claims = new ClaimTable(data.claims);
const zeroLeaf = Buffer.alloc(data.leafBytes);
const zeroHash = codec.hash(zeroLeaf);
let lookup = await prepared(() => new IndexLookup(data.index));

const source = await prepared(() => reopenAnySource(data.source, { clock: systemClock }, { signal: stop.signal }));
const store = await prepared(() =>
  openBlobStore(data.store, { signal: stop.signal, clock: systemClock, rng: systemRng }),
);
const packs = new PackWriter(
  { codec, store, clock: systemClock, rng: systemRng },
  {
    kind: 'p',
    format: data.format,
    sessionId: data.sessionId,
    bufferBytes: packBufferBytes,
    buffers: packBuffers,
    committingMax: shareOf(committing[data.store.kind]),
    onPack: (entries) => emitEvent({ entries } satisfies PackStored),
    signal: stop.signal,
  },
);

const reads = new ReadAhead(source, { slots: shareOf(readSlots), signal: stop.signal });

/** Stretches are worked on in the order in which they came; what a checkpoint asks for is done at the next chunk. */
let lastTask: Promise<unknown> = Promise.resolve();
const urgent: (() => Promise<void>)[] = [];

serveTasks<StoreTask>({
  async handle(task) {
    switch (task.kind) {
      case 'store': {
        reads.expect(task.extents);
        const stored = lastTask.then(() => storeExtents(task.extents));
        lastTask = stored.catch(() => undefined);
        return await stored;
      }
      case 'seal': {
        // The next chunks need not wait until these are on the medium.
        const { durable } = await betweenChunks(async () => {
          claims.switchTo(task.generation);
          return await packs.cut();
        });
        await durable;
        return undefined;
      }
      case 'index':
        await betweenChunks(async () => void (lookup = new IndexLookup(task.index)));
        return undefined;
    }
  },
  async close() {
    stop.abort(new Error('the worker was closed'));
    await lastTask;
    await packs[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
    await source[Symbol.asyncDispose]();
  },
});

/** After so many bytes the event loop gets a turn, which is when packs are sent on: less than a pack's buffer. */
const turnBytes = 2 * 1024 * 1024;

async function storeExtents(extents: readonly Extent[]): Promise<StoredLeaves> {
  const hashes: Uint8Array[] = [];
  const counts = { zeroLeaves: 0, newBytes: 0, packedBytes: 0 };
  let sinceTurnBytes = 0;
  for (const wanted of extents) {
    for (let done = 0; done < wanted.lengthBytes;) {
      const { range, slot } = await reads.next();
      assert(range.offset === wanted.offset + done);
      for (let at = 0; at < range.lengthBytes; at += data.leafBytes) {
        hashes.push(await storeLeaf(leafOf(slot, at, range.lengthBytes), counts));
        if (urgent.length > 0) await doUrgent();
      }
      done += range.lengthBytes;
      sinceTurnBytes += range.lengthBytes;
      if (sinceTurnBytes < turnBytes) continue;
      await loopTurn();
      sinceTurnBytes = 0;
    }
  }
  return { hashes: Buffer.concat(hashes), ...counts };
}

/** Runs when no chunk is half done: every one that was claimed is in a pack. */
async function betweenChunks<T>(work: () => Promise<T>): Promise<T> {
  const outcome = Promise.withResolvers<T>();
  urgent.push(async () => {
    await work().then(outcome.resolve, outcome.reject);
  });
  lastTask = lastTask.then(doUrgent);
  return await outcome.promise;
}

async function doUrgent(): Promise<void> {
  for (let work = urgent.shift(); work !== undefined; work = urgent.shift()) await work();
}

/** A leaf of a piece; a short last one is filled up with zeros where the layout wants whole leaves. */
function leafOf(slot: Uint8Array, at: number, lengthBytes: number): Uint8Array {
  const end = Math.min(at + data.leafBytes, lengthBytes);
  if (!data.padTail) return slot.subarray(at, end);
  slot.fill(0, end, at + data.leafBytes);
  return slot.subarray(at, at + data.leafBytes);
}

async function storeLeaf(
  plain: Uint8Array,
  counts: { zeroLeaves: number; newBytes: number; packedBytes: number },
): Promise<Uint8Array> {
  if (isZeroLeaf(plain)) {
    // The main thread stores the one zero leaf that all holes share.
    counts.zeroLeaves++;
    return zeroHash;
  }
  const hash = codec.hash(plain);
  if (claims.has(hash)) return hash;
  const known = lookup.state(0, hash);
  if (known?.deleted === false || !claims.claim(hash)) return hash;
  const entry = await packs.add(contentIdOf('', hash), plain, data.compressor, known?.timestampSeconds);
  counts.newBytes += plain.length;
  counts.packedBytes += entry.packedLength;
  return hash;
}

function shareOf({ total, min, max }: typeof readSlots): number {
  return Math.min(max, Math.max(min, Math.floor(total / data.workers)));
}

/** Looks at both ends first: nearly all data that is not zero is told apart by that alone. */
function isZeroLeaf(plain: Uint8Array): boolean {
  if (plain.length !== data.leafBytes || plain[0] !== 0 || plain[plain.length - 1] !== 0) return false;
  return zeroLeaf.compare(plain) === 0;
}
