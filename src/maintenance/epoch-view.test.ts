import assert from 'node:assert/strict';
import { test } from 'node:test';

import { blobId, type BlobMetadata } from '../blobs/blob-store.ts';
import { MemoryStore } from '../blobs/memory-store.ts';
import { defaultEpochs } from '../repository/format/content-format.ts';
import { systemClock } from '../std/clock.ts';
import { settledEpoch } from './epoch-plans.ts';
import { latestMs, readEpochView, storageNowMs } from './epoch-view.ts';
import { requireValid } from './validity.ts';

const signal = new AbortController().signal;
let nowMs = Date.UTC(2026, 0, 1);
const clock = { ...systemClock, nowMs: () => nowMs, monotonicMs: () => nowMs };

/** Tells its markers of epochs last, as a store may that lists in no order; whoever writes does so just before. */
class LateMarkers extends MemoryStore {
  beforeMarkers: (() => Promise<void>) | undefined;

  override async *list(prefix: string): AsyncGenerator<BlobMetadata, void, undefined> {
    const blobs = await Array.fromAsync(super.list(prefix, { signal }));
    yield* blobs.filter(({ id }) => !id.startsWith('xe'));
    if (prefix === 'x') await this.beforeMarkers?.();
    for await (const blob of super.list(prefix, { signal })) if (blob.id.startsWith('xe')) yield blob;
  }
}

async function storeOf(...names: readonly string[]): Promise<LateMarkers> {
  const store = new LateMarkers({ clock });
  for (const name of names) await store.put(blobId(name), Buffer.from('x'), { signal });
  return store;
}

test('epoch view > an epoch that is settled while blobs are listed is not settled yet', async () => {
  const store = await storeOf('xe1', 'xn0_aa-s1-c1');
  store.beforeMarkers = async () => {
    // A writer that still sees the first epoch puts a blob that this listing does not show; then the epoch ends.
    await store.put(blobId('xn0_bb-s2-c1'), Buffer.from('x'), { signal });
    await store.put(blobId('xe2'), Buffer.from('x'), { signal });
  };
  const view = await readEpochView(store, { epochs: defaultEpochs, clock, signal });
  assert.equal(view.blobs.has(blobId('xn0_bb-s2-c1')), false);
  assert.equal(view.blobs.has(blobId('xe2')), true);
  assert.equal(settledEpoch(view), undefined);
});

test('epoch view > says nothing any more after twenty minutes', async () => {
  const view = await readEpochView(await storeOf('xe1'), { epochs: defaultEpochs, clock, signal });
  nowMs += 20 * 60_000;
  requireValid(view.validity, clock);
  nowMs += 1;
  assert.throws(() => requireValid(view.validity, clock), { code: 'index-conflict' });
});

test("epoch view > the store's time is that of the newest blob of the epochs that are being written", async () => {
  const store = await storeOf('xe5', 'xn3_a-s-c1', 'xn4_a-s-c1', 'xn6_a-s-c1', 'xn7_a-s-c1', 'xs1_a-s-c1');
  for (const [name, ms] of [
    ['xn3_a-s-c1', 900],
    ['xn4_a-s-c1', 500],
    ['xn6_a-s-c1', 600],
    ['xn7_a-s-c1', 950],
  ] as const) {
    store.setTimestamp(blobId(name), ms);
  }
  const view = await readEpochView(store, { epochs: defaultEpochs, clock, signal });
  assert.equal(storageNowMs(view), 600);
  assert.equal(latestMs([]), undefined);
  assert.equal(
    storageNowMs(await readEpochView(await storeOf('xs1_a-s-c1'), { epochs: defaultEpochs, clock, signal })),
    undefined,
  );
});
