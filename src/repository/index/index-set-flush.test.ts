import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { BlobError, blobId } from '../../blobs/blob-store.ts';
import { hasCode } from '../../std/dray-error.ts';
import { fnv1a, shardEntries } from './index-blobs.ts';
import { IndexSet } from './index-set.ts';
import { bench, entry, numbers, putIndex, range, session, signal, upTo } from './index-set-bench.ts';
import { replacedKeptMax, replacedKeptMs } from './replaced-blobs.ts';

test('index flush > what it flushes is found at once, here and by others', async (context) => {
  const parts = await bench(context);
  await using set = await IndexSet.open({ ...parts, signal });
  parts.store.gets = 0;
  await set.flush(range(0, 30), { sessionId: session, signal });
  assert.deepEqual(numbers(set), upTo(30));
  assert.equal(parts.store.gets, 0);
  assert.match([...parts.store.blobs.keys()][0]!, new RegExp(`^xn0_[0-9a-f]{32}-${session}-c1$`));
  await using other = await IndexSet.open({ ...parts, cacheDirectory: join(parts.cacheDirectory, 'other'), signal });
  assert.deepEqual(numbers(other), upTo(30));
});

test('index flush > flushes into the write epoch, and fails when two more have begun', async (context) => {
  const parts = await bench(context);
  parts.store.blobs.set(blobId('xe4'), Buffer.from('epoch-marker'));
  await using set = await IndexSet.open({ ...parts, signal });
  parts.store.afterPut = () => parts.store.blobs.set(blobId('xe5'), Buffer.from('epoch-marker'));
  await set.flush(range(0, 5), { sessionId: session, signal });
  assert.ok([...parts.store.blobs.keys()].some((id) => id.startsWith('xn4_')));
  parts.store.afterPut = () => parts.store.blobs.set(blobId('xe6'), Buffer.from('epoch-marker'));
  const conflict = set.flush(range(5, 10), { sessionId: session, signal });
  await assert.rejects(conflict, (error) => hasCode(error, 'index-conflict'));
  assert.deepEqual(numbers(set), upTo(5));
  assert.equal([...parts.store.blobs.keys()].filter((id) => id.startsWith('xn')).length, 1);
  parts.store.afterPut = undefined;
  parts.clock.nowAtMs += 6 * 60_000;
  await set.flush(range(5, 10), { sessionId: session, signal });
  assert.ok([...parts.store.blobs.keys()].some((id) => id.startsWith('xn6_')));
});

test('index flush > what was dropped and is stored again is found, though the clock of its writer is behind', async (context) => {
  const parts = await bench(context);
  putIndex(parts, 'xn0_', [entry(1, { deleted: true, timestampSeconds: 5000 }), entry(2, { timestampSeconds: 5000 })]);
  parts.store.blobs.set(blobId('xw6000'), Buffer.from('deletion-watermark'));
  await using set = await IndexSet.open({ ...parts, signal });
  assert.equal(set.find(entry(1).contentId), undefined);
  await set.flush([entry(1, { timestampSeconds: 4000 }), entry(3, { deleted: true })], { sessionId: session, signal });
  await using other = await IndexSet.open({ ...parts, cacheDirectory: join(parts.cacheDirectory, 'other'), signal });
  for (const index of [set, other]) {
    assert.equal(index.find(entry(1).contentId)?.timestampSeconds, 6001);
    assert.deepEqual(numbers(index), [1, 2]);
  }
});

test('index flush > shards that outlive the state are written again, for the epoch that is then', async (context) => {
  const parts = await bench(context);
  await using set = await IndexSet.open({ ...parts, signal });
  let puts = 0;
  parts.store.afterPut = () => {
    if (puts++ > 0) return;
    parts.clock.nowAtMs += 21 * 60_000;
    parts.store.blobs.set(blobId('xe1'), Buffer.from('epoch-marker'));
  };
  await set.flush(range(0, 20), { sessionId: session, entriesPerShardMax: 5, signal });
  const written = [...parts.store.blobs.keys()].filter((id) => id.startsWith('xn'));
  assert.ok(written.length > 1);
  for (const id of written) assert.match(id, new RegExp(`^xn1_.*-c${written.length}$`));
  assert.deepEqual(numbers(set), upTo(20));
});

test('index flush > entries go to shards by the FNV of their content id, and no shard is empty', () => {
  assert.equal(fnv1a(''), 0x811c9dc5);
  assert.equal(fnv1a('foobar'), 0xbf9cf968);
  const shards = shardEntries(range(0, 30), 4);
  assert.equal(shards.flat().length, 30);
  assert.ok(
    shards.every((shard) => shard.length > 0 && new Set(shard.map((one) => fnv1a(one.contentId) % 8)).size === 1),
  );
});

test('index flush > thousands of flushes leave few blobs, few tables and everything found', async (context) => {
  const parts = await bench(context);
  putIndex(parts, 'xn0_', range(0, 1000));
  await using set = await IndexSet.open({ ...parts, signal });
  let tablesMax = 0;
  for (let i = 0; i < 600; i++) {
    const one = entry(1000 + i, i % 3 === 0 ? { deleted: true } : {});
    await set.flush([one], { sessionId: session, signal });
    parts.clock.nowAtMs += 1000;
    tablesMax = Math.max(tablesMax, set.lookupLocation().tables.length);
    set.closeRetired();
  }
  assert.deepEqual(numbers(set), upTo(1600));
  assert.ok(set.activeBlobs.length <= 36, `${set.activeBlobs.length} blobs`);
  assert.ok(tablesMax <= 12, `${tablesMax} tables`);
  const left = new Set(parts.store.blobs.keys()).difference(new Set(set.activeBlobs));
  assert.ok(left.size > 0 && left.size <= replacedKeptMax, `${left.size} replaced`);
  await using other = await IndexSet.open({ ...parts, cacheDirectory: join(parts.cacheDirectory, 'other'), signal });
  assert.deepEqual([...other.entries()], [...set.entries()]);
  assert.equal([...other.entries()].filter((one) => one.deleted).length, 200);
  await set.refresh({ signal });
  assert.deepEqual([...other.entries()], [...set.entries()]);
});

test('index flush > whoever has listed the eight can fetch them for two minutes after they were merged', async (context) => {
  const parts = await bench(context);
  await using set = await IndexSet.open({ ...parts, signal });
  for (let i = 0; i < 7; i++) await set.flush([entry(i)], { sessionId: session, signal });
  const listed = new Set(set.activeBlobs);
  await set.flush([entry(7)], { sessionId: session, signal });
  assert.equal(set.activeBlobs.length, 1);
  parts.clock.nowAtMs += replacedKeptMs - 1;
  for (let i = 8; i < 16; i++) await set.flush([entry(i)], { sessionId: session, signal });
  assert.ok(listed.isSubsetOf(new Set(parts.store.blobs.keys())));
  parts.clock.nowAtMs += 1;
  for (let i = 16; i < 24; i++) await set.flush([entry(i)], { sessionId: session, signal });
  assert.ok(listed.isDisjointFrom(new Set(parts.store.blobs.keys())));
  await set.refresh({ signal });
  assert.equal(set.activeBlobs.length, 3);
  assert.deepEqual(numbers(set), upTo(24));
});

test('index flush > a crash in the middle of removing what was replaced harms nothing', async (context) => {
  for (let removals = 0; removals <= 8; removals++) {
    const parts = await bench(context);
    await using set = await IndexSet.open({ ...parts, signal });
    for (let i = 0; i < 8; i++) await set.flush([entry(i)], { sessionId: session, signal });
    parts.clock.nowAtMs += replacedKeptMs;
    for (let i = 8; i < 15; i++) await set.flush([entry(i)], { sessionId: session, signal });
    let left = removals;
    parts.store.beforeRemove = () => {
      if (left-- === 0) throw new Error('killed');
    };
    const last = set.flush([entry(15)], { sessionId: session, signal });
    if (removals < 8) await assert.rejects(last, /killed/);
    else await last;
    parts.store.beforeRemove = undefined;
    await using next = await IndexSet.open({ ...parts, cacheDirectory: join(parts.cacheDirectory, 'next'), signal });
    assert.equal(parts.store.blobs.size, 1 + 8 - removals + 1 + 8);
    assert.deepEqual(numbers(next), upTo(16));
  }
});

test('index flush > never removes a blob before what replaces it is durable', async (context) => {
  const parts = await bench(context);
  await using set = await IndexSet.open({ ...parts, signal });
  for (let i = 0; i < 7; i++) await set.flush([entry(i)], { sessionId: session, signal });
  let puts = 0;
  parts.store.beforePut = () => {
    if (puts++ === 1) throw new BlobError('blob-unavailable', 'merged');
  };
  await assert.rejects(set.flush([entry(7)], { sessionId: session, signal }));
  assert.equal(parts.store.blobs.size, 8);
  assert.deepEqual(numbers(set), upTo(8));
});

test('index flush > the eight stay when two epochs begin while they are merged', async (context) => {
  const parts = await bench(context);
  await using set = await IndexSet.open({ ...parts, signal });
  for (let i = 0; i < 7; i++) await set.flush([entry(i)], { sessionId: session, signal });
  let puts = 0;
  parts.store.afterPut = () => {
    if (puts++ === 1) parts.store.blobs.set(blobId('xe2'), Buffer.from('epoch-marker'));
  };
  await set.flush([entry(7)], { sessionId: session, signal });
  parts.clock.nowAtMs += replacedKeptMs;
  for (let i = 8; i < 16; i++) await set.flush([entry(i)], { sessionId: session, signal }).catch(() => undefined);
  assert.equal([...parts.store.blobs.keys()].filter((id) => id.startsWith('xn0_')).length, 9);
});

test('index flush > blobs of an older epoch are left to maintenance', async (context) => {
  const parts = await bench(context);
  await using set = await IndexSet.open({ ...parts, signal });
  for (let i = 0; i < 7; i++) await set.flush([entry(i)], { sessionId: session, signal });
  parts.store.blobs.set(blobId('xe1'), Buffer.from('epoch-marker'));
  parts.clock.nowAtMs += 6 * 60_000;
  for (let i = 7; i < 14; i++) await set.flush([entry(i)], { sessionId: session, signal });
  assert.equal(set.activeBlobs.length, 14);
  await set.flush([entry(14)], { sessionId: session, signal });
  assert.equal(set.activeBlobs.filter((id) => id.startsWith('xn0_')).length, 7);
  assert.equal(set.activeBlobs.filter((id) => id.startsWith('xn1_')).length, 1);
  assert.deepEqual(numbers(set), upTo(15));
});

test('index flush > a merge that comes out the same as one of its parts keeps it', async (context) => {
  const parts = await bench(context);
  await using set = await IndexSet.open({ ...parts, signal });
  // The first holds all that the others say, and its bytes are those of the merge.
  await set.flush(
    range(0, 8).map((one) => ({ ...one, timestampSeconds: 2000 })),
    { sessionId: session, signal },
  );
  const whole = set.activeBlobs[0]!;
  const few = [
    [0, 1, 2, 3, 4, 5, 6],
    [0, 1, 2, 3, 4, 5, 7],
    [0, 1, 2, 3, 4, 6, 7],
    [0, 1, 2, 3, 5, 6, 7],
    [0, 1, 2, 4, 5, 6, 7],
    [0, 1, 3, 4, 5, 6, 7],
    [0, 2, 3, 4, 5, 6, 7],
  ];
  for (const some of few)
    await set.flush(
      some.map((n) => entry(n)),
      { sessionId: session, signal },
    );
  assert.deepEqual(set.activeBlobs, [whole]);
  await set.refresh({ signal });
  assert.deepEqual(set.activeBlobs, [whole]);
  assert.deepEqual(numbers(set), upTo(8));
});

test('index flush > blobs that cannot be removed stay and are not merged again', async (context) => {
  const parts = await bench(context);
  await using set = await IndexSet.open({ ...parts, signal });
  parts.store.beforeRemove = (id) => {
    throw new BlobError('blob-denied', id);
  };
  for (let i = 0; i < 40; i++) {
    await set.flush([entry(i)], { sessionId: session, signal });
    parts.clock.nowAtMs += replacedKeptMs / 8;
  }
  assert.equal(parts.store.blobs.size, 40 + 5);
  assert.deepEqual(numbers(set), upTo(40));
});

test('index flush > two runs that flush and merge at once lose nothing', async (context) => {
  const parts = await bench(context);
  await using one = await IndexSet.open({ ...parts, signal });
  for (let i = 0; i < 6; i++) await one.flush([entry(i)], { sessionId: session, signal });
  await using two = await IndexSet.open({ ...parts, cacheDirectory: join(parts.cacheDirectory, 'two'), signal });
  for (let i = 0; i < 20; i++) {
    await one.flush([entry(100 + i)], { sessionId: session, signal });
    await two.flush([entry(200 + i)], { sessionId: 's00000000000000ff123', signal });
    parts.clock.nowAtMs += replacedKeptMs / 8;
  }
  await using third = await IndexSet.open({ ...parts, cacheDirectory: join(parts.cacheDirectory, 'third'), signal });
  const expected = [...upTo(6), ...upTo(20).map((n) => n + 100), ...upTo(20).map((n) => n + 200)];
  assert.deepEqual(numbers(third), expected);
});
