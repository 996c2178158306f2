import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';

import { blobId, type BlobId } from '../../blobs/blob-store.ts';
import { hasCode } from '../../std/dray-error.ts';
import { nanosecondsFromMs } from '../../std/go-time.ts';
import { defaultEpochs } from '../format/content-format.ts';
import { decodeCleanupEntry, encodeCleanupEntry } from './cleanup-entry.ts';
import { decodeCompactionLog, encodeCompactionLog } from './compaction-log.ts';
import { IndexSet } from './index-set.ts';
import {
  bench,
  entry,
  format,
  numbers,
  putIndex,
  range,
  session,
  signal,
  upTo,
  type Bench,
} from './index-set-bench.ts';

const withoutEpochs = { ...format, epochs: { ...defaultEpochs, enabled: false } };

function putLog(parts: Bench, inputs: readonly BlobId[], outputs: readonly BlobId[]): BlobId {
  const metadata = (ids: readonly BlobId[]): unknown => ids.map((id) => ({ id, length: 1, timestamp: 'any' }));
  const text = JSON.stringify({ inputMetadata: metadata(inputs), outputMetadata: metadata(outputs) });
  const { id, bytes } = parts.codec.sealNamed('m', '', Buffer.from(text));
  parts.store.blobs.set(id, bytes);
  return id;
}

test('legacy blobs > what was flushed is one n blob for each flush, and is found by whoever opens next', async (context) => {
  const parts = { ...(await bench(context)), format: withoutEpochs };
  {
    await using set = await IndexSet.open({ ...parts, signal });
    for (let number = 0; number < 20; number++) await set.flush([entry(number)], { sessionId: session, signal });
    assert.deepEqual(numbers(set), upTo(20));
  }
  const names = [...parts.store.blobs.keys()];
  assert.ok(names.every((name) => name.startsWith('n') && name.endsWith(`-${session}`)));
  assert.equal(names.length, 20);
  await using again = await IndexSet.open({ ...parts, signal });
  assert.deepEqual(numbers(again), upTo(20));
});

test('legacy blobs > what was compacted does not count, when all that came of it is there', async (context) => {
  const parts = { ...(await bench(context)), format: withoutEpochs };
  // Entry 1 was dropped by the compaction: were the inputs counted, it would be back.
  const inputs = [putIndex(parts, 'n', range(0, 2)), putIndex(parts, 'n', range(2, 4))];
  const merged = putIndex(parts, 'n', [entry(0), entry(2)]);
  const other = putIndex(parts, 'n', [entry(3)]);
  putLog(parts, inputs, [merged, other]);
  const poison = 'n00000000000000000000000000000000-repository_unreadable_by_this_kopia_version_upgrade_required';
  parts.store.blobs.set(blobId(poison), Buffer.from('not an index'));
  await using set = await IndexSet.open({ ...parts, signal });
  assert.deepEqual(numbers(set), [0, 2, 3]);
  parts.store.blobs.delete(other);
  await set.refresh({ signal });
  assert.deepEqual(numbers(set), [0, 1, 2, 3]);
  // A later compaction has taken the first one's input and output together.
  putLog(parts, [inputs[1]!, merged], [putIndex(parts, 'n', range(8, 10))]);
  await set.refresh({ signal });
  assert.deepEqual(numbers(set), [0, 1, 8, 9]);
});

test('legacy blobs > a blob that was replaced over two logs stays so when what came between is gone first', async (context) => {
  const parts = { ...(await bench(context)), format: withoutEpochs };
  const mark = entry(1, { deleted: true, timestampSeconds: entry(1).timestampSeconds + 10 });
  const living = putIndex(parts, 'n', range(0, 2));
  const marks = putIndex(parts, 'n', [mark]);
  const merged = putIndex(parts, 'n', [entry(0), mark]);
  const dropped = putIndex(parts, 'n', [entry(0)]);
  putLog(parts, [living, marks], [merged]);
  putLog(parts, [merged], [dropped]);
  // As kopia removes them, in any order, and is cut off; or as a listing shows them that takes its time.
  parts.store.blobs.delete(marks);
  parts.store.blobs.delete(merged);
  await using set = await IndexSet.open({ ...parts, signal });
  assert.deepEqual(numbers(set), [0]);
  assert.deepEqual(set.activeBlobs, [dropped]);
});

test('legacy blobs > logs come and go while they are read, and a damaged one is named', async (context) => {
  const parts = { ...(await bench(context)), format: withoutEpochs };
  putIndex(parts, 'n', range(0, 3));
  const log = putLog(parts, [], []);
  await using set = await IndexSet.open({ ...parts, signal });
  const { gets } = parts.store;
  await set.refresh({ signal });
  assert.equal(parts.store.gets, gets, 'a log is read once');
  const vanishing = putLog(parts, [blobId('n1')], []);
  parts.store.beforeGet = (id) => void (id === vanishing && parts.store.blobs.delete(id));
  await set.refresh({ signal });
  assert.deepEqual(numbers(set), upTo(3));
  parts.store.blobs.set(blobId(`${log.slice(0, -2)}00`), parts.store.blobs.get(log)!);
  await assert.rejects(set.refresh({ signal }), (error) => hasCode(error, 'corrupt'));
});

const blob = { id: blobId('n12'), lengthBytes: 7, timestampMs: Date.UTC(2026, 5, 1) };

test('compaction log > is what kopia writes, and is read back', () => {
  const bytes = encodeCompactionLog({ inputs: [blob], outputs: [] });
  const metadata = '{"id":"n12","length":7,"timestamp":"2026-06-01T00:00:00Z"}';
  assert.equal(Buffer.from(bytes).toString(), `{"inputMetadata":[${metadata}],"outputMetadata":[]}`);
  assert.deepEqual(decodeCompactionLog(blobId('m00'), bytes), { inputs: ['n12'], outputs: [] });
});

test('cleanup entry > is what kopia writes, is read back, and names nothing but logs', () => {
  const name = blobId('l00');
  const cleanup = { logs: [blobId('m1')], scheduled: nanosecondsFromMs(blob.timestampMs) };
  const bytes = encodeCleanupEntry(cleanup);
  assert.equal(Buffer.from(bytes).toString(), '{"blobIDs":["m1"],"cleanupScheduleTime":"2026-06-01T00:00:00Z"}');
  assert.deepEqual(decodeCleanupEntry(name, bytes), cleanup);
  for (const named of ['"n1"', '"m/1"', '5', 'null']) {
    const text = `{"blobIDs":[${named}],"cleanupScheduleTime":"2026-06-01T00:00:00Z"}`;
    assert.throws(() => decodeCleanupEntry(name, Buffer.from(text)), { code: 'corrupt', message: /l00/ });
  }
  assert.throws(() => decodeCleanupEntry(name, Buffer.from('{"blobIDs":["m1"]}')), { code: 'corrupt' });
});

test('compaction log > any text is a log or corrupt', () => {
  const name = blobId('m00');
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      try {
        decodeCompactionLog(name, Buffer.from(text));
      } catch (error) {
        assert.ok(hasCode(error, 'corrupt'));
      }
    }),
  );
  const named = (id: unknown): Buffer => Buffer.from(JSON.stringify({ inputMetadata: [{ id }] }));
  assert.deepEqual(decodeCompactionLog(name, named('n12')), { inputs: ['n12'], outputs: [] });
  for (const id of ['../n', '', 5]) assert.throws(() => decodeCompactionLog(name, named(id)), /m00/);
});
