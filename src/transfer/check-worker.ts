/**
 * The worker thread of `verify --level data`: reads a pack once, opens and hashes every content that the index places
 * in it, and checks the pack's own index and postamble, which nothing needs until an index must be recovered.
 */

import { BlobError } from '../blobs/blob-store.ts';
import { openBlobStore } from '../blobs/open-blob-store.ts';
import { alignedBuffer, directAlignmentBytes } from '../kernel/aligned-memory.ts';
import { ContentCodec } from '../repository/content/content-codec.ts';
import { readLocalIndex } from '../repository/content/pack-format.ts';
import { systemClock } from '../std/clock.ts';
import { DrayError } from '../std/dray-error.ts';
import { systemRng } from '../std/rng.ts';
import { prepared, serveTasks, taskData } from '../std/serve-tasks.ts';
import { damageOf, unsupportedOf } from './damage.ts';
import { checkTasksPerWorker, type CheckTask, type CheckWorkerData, type PackChecked } from './check-messages.ts';

const data = await taskData<CheckWorkerData>();
const stop = new AbortController();
const { signal } = stop;
const codec = new ContentCodec(data.format);
const store = await prepared(() => openBlobStore(data.store, { signal, clock: systemClock, rng: systemRng }));

serveTasks<CheckTask>({
  handle: check,
  async close() {
    stop.abort(new Error('the worker was closed'));
    await store[Symbol.asyncDispose]();
  },
});

/** Packs are read into the same memory again and again; a longer one makes it grow. */
const freeBuffers: Uint8Array[] = [];
const bufferBytesMin = 24 * 1024 * 1024;
/** Where contents are opened, only to be hashed. */
let scratch: Uint8Array = new Uint8Array(1024 * 1024);

async function check(task: CheckTask): Promise<PackChecked> {
  const roomBytes = (task.lengthBytes ?? 0) + 2 * directAlignmentBytes;
  const fits = freeBuffers.findIndex((buffer) => buffer.length >= roomBytes);
  const [free] = fits < 0 ? [] : freeBuffers.splice(fits, 1);
  const buffer = free ?? alignedBuffer(Math.max(bufferBytesMin, roomBytes));
  try {
    return await checkPack(task, buffer);
  } finally {
    if (freeBuffers.length < checkTasksPerWorker) freeBuffers.push(buffer);
  }
}

async function checkPack({ blob, lengthBytes, entries }: CheckTask, buffer: Uint8Array): Promise<PackChecked> {
  let pack: Uint8Array;
  try {
    if (lengthBytes === undefined) throw new BlobError('blob-not-found', `pack ${blob} is missing`);
    pack = await store.get(blob, { signal, range: { offset: 0, lengthBytes }, into: buffer });
  } catch (error) {
    const reason = damageOf(error);
    const damaged = entries.map(({ contentId }) => ({ contentId, reason }));
    return { readBytes: 0, damaged, mended: [], unsupported: new Map(), problem: reason };
  }
  const damaged: { contentId: string; reason: string }[] = [];
  const mended: string[] = [];
  const unsupported = new Map<string, number>();
  for (const entry of entries) {
    const end = entry.packOffset + entry.packedLength;
    try {
      if (end > pack.length)
        throw new DrayError('blob-range', `pack ${blob} ends at ${pack.length}, content at ${end}`);
      if (scratch.length < entry.originalLength) scratch = new Uint8Array(entry.originalLength);
      const sealed = pack.subarray(entry.packOffset, end);
      codec.openInto(entry, sealed, scratch, { verify: true });
      if (!codec.isWhole(sealed)) mended.push(entry.contentId);
    } catch (error) {
      const what = unsupportedOf(error);
      if (what === undefined) damaged.push({ contentId: entry.contentId, reason: damageOf(error) });
      else unsupported.set(what, (unsupported.get(what) ?? 0) + 1);
    }
  }
  return { readBytes: pack.length, damaged, mended, unsupported, problem: structureProblem(pack) };
}

function structureProblem(pack: Uint8Array): string | undefined {
  try {
    readLocalIndex(pack, codec);
    return undefined;
  } catch (error) {
    return damageOf(error);
  }
}
