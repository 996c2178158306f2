/**
 * The worker thread of `verify --level data`: reads a pack once, opens and hashes every content that the index places
 * in it, and checks the pack's own index and postamble, which nothing needs until an index must be recovered.
 */
import { workerData } from 'node:worker_threads';

import { openBlobStore } from '../blobs/open-blob-store.ts';
import { ContentCodec } from '../repository/content/content-codec.ts';
import { readLocalIndex } from '../repository/content/pack-format.ts';
import { systemClock } from '../std/clock.ts';
import { DrayError } from '../std/dray-error.ts';
import { systemRng } from '../std/rng.ts';
import { serveTasks } from '../std/serve-tasks.ts';
import { damageOf } from './damage.ts';
import type { CheckTask, CheckWorkerData, PackChecked } from './check-messages.ts';

const data = workerData as CheckWorkerData;
const stop = new AbortController();
const { signal } = stop;
const codec = new ContentCodec(data.format);
const store = await openBlobStore(data.store, { signal, clock: systemClock, rng: systemRng });

serveTasks<CheckTask>({
  handle: check,
  async close() {
    stop.abort(new Error('the worker was closed'));
    await store[Symbol.asyncDispose]();
  },
});

async function check({ blob, entries }: CheckTask): Promise<PackChecked> {
  let pack: Uint8Array;
  try {
    pack = await store.get(blob, { signal });
  } catch (error) {
    const reason = damageOf(error);
    return { readBytes: 0, damaged: entries.map(({ contentId }) => ({ contentId, reason })), problem: reason };
  }
  const damaged: { contentId: string; reason: string }[] = [];
  for (const entry of entries) {
    const end = entry.packOffset + entry.packedLength;
    try {
      if (end > pack.length)
        throw new DrayError('blob-range', `pack ${blob} ends at ${pack.length}, content at ${end}`);
      codec.open(entry, pack.subarray(entry.packOffset, end), { verify: true });
    } catch (error) {
      damaged.push({ contentId: entry.contentId, reason: damageOf(error) });
    }
  }
  return { readBytes: pack.length, damaged, problem: structureProblem(pack) };
}

function structureProblem(pack: Uint8Array): string | undefined {
  try {
    readLocalIndex(pack, codec);
    return undefined;
  } catch (error) {
    return damageOf(error);
  }
}
