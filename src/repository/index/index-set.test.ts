import assert from 'node:assert/strict';
import { fstatSync } from 'node:fs';
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';

import { BlobError, blobId } from '../../blobs/blob-store.ts';
import { hasCode } from '../../std/dray-error.ts';
import { nextTurn } from '../../std/next-turn.ts';
import { contentId, hashOf } from '../content/content-id.ts';
import { encodeIndex } from './encode-index.ts';
import { spread } from './index-fixtures.ts';
import { IndexLookup } from './index-lookup.ts';
import { IndexSet } from './index-set.ts';
import { bench, entry, numbers, putIndex, range, session, signal, upTo } from './index-set-bench.ts';

test('index set > finds what others have written, and after a refresh what they have written since', async (context) => {
  const parts = await bench(context);
  putIndex(parts, 'xn0_', range(0, 50));
  await using set = await IndexSet.open({ ...parts, signal });
  assert.deepEqual(set.find(entry(7).contentId), entry(7));
  assert.equal(set.find(entry(70).contentId), undefined);
  putIndex(parts, 'xn0_', range(50, 100));
  await set.refresh({ signal });
  assert.deepEqual(set.find(entry(70).contentId), entry(70));
  assert.deepEqual(numbers(set), upTo(100));
  assert.deepEqual(
    [...set.entries({ prefix: 'k' })].map((one) => one.contentId),
    upTo(100)
      .filter((n) => n % 5 === 0)
      .map((n) => entry(n).contentId)
      .toSorted(),
  );
  assert.equal([...set.entries({ prefix: '' })].length, 80);
});

test('index set > an empty repository has an empty index', async (context) => {
  const parts = await bench(context);
  await using set = await IndexSet.open({ ...parts, signal });
  assert.deepEqual([...set.entries()], []);
  assert.equal(set.find(entry(1).contentId), undefined);
  await set.flush([], { sessionId: session, signal });
  assert.equal(parts.store.blobs.size, 0);
});

test('index set > a deleted content is found until the watermark has passed it', async (context) => {
  const parts = await bench(context);
  putIndex(parts, 'xn0_', range(0, 3));
  putIndex(parts, 'xn0_', [
    entry(1, { deleted: true, timestampSeconds: 2000 }),
    entry(2, { deleted: true, timestampSeconds: 3000 }),
  ]);
  await using set = await IndexSet.open({ ...parts, signal });
  assert.equal(set.find(entry(1).contentId)?.deleted, true);
  parts.store.blobs.set(blobId('xw2000'), Buffer.from('deletion-watermark'));
  await set.refresh({ signal });
  assert.equal(set.find(entry(1).contentId), undefined);
  assert.equal(set.find(entry(2).contentId)?.deleted, true);
  assert.deepEqual(numbers(set), [0, 2]);
  const lookup = new IndexLookup(set.lookupLocation());
  assert.equal(lookup.state(0, hashOf(entry(1).contentId)), undefined);
  assert.deepEqual(lookup.state(0, hashOf(entry(2).contentId)), { deleted: true, timestampSeconds: 3000 });
  assert.equal(lookup.isLive(0, hashOf(entry(2).contentId)), false);
  assert.equal(lookup.isLive(0x6b, hashOf(entry(0).contentId)), true);
  assert.deepEqual(lookup.find(0x6b, hashOf(entry(0).contentId)), entry(0));
});

test('index set > opens again from disk alone', async (context) => {
  const parts = await bench(context);
  for (let i = 0; i < 63; i++) putIndex(parts, 'xn0_', range(i * 10, i * 10 + 10));
  await (await IndexSet.open({ ...parts, signal }))[Symbol.asyncDispose]();
  parts.store.gets = 0;
  await using set = await IndexSet.open({ ...parts, signal });
  assert.equal(parts.store.gets, 0);
  assert.deepEqual(numbers(set), upTo(630));
  assert.ok(set.lookupLocation().tables.length <= 12);
});

test('index set > reads a thousand blobs once each, many at a time but not too many, and later only new ones', async (context) => {
  const parts = await bench(context);
  for (let i = 0; i < 1000; i++) putIndex(parts, 'xn0_', range(i, i + 1));
  const reads = new Map<string, number>();
  let underWay = 0;
  let most = 0;
  parts.store.beforeGet = async (id) => {
    reads.set(id, (reads.get(id) ?? 0) + 1);
    most = Math.max(most, ++underWay);
    await nextTurn();
    underWay -= 1;
  };
  await (await IndexSet.open({ ...parts, signal }))[Symbol.asyncDispose]();
  assert.equal(reads.size, 1000);
  assert.deepEqual([...new Set(reads.values())], [1]);
  assert.ok(most > 8 && most <= 64, `${most} at once`);
  reads.clear();
  for (let i = 1000; i < 1003; i++) putIndex(parts, 'xn0_', range(i, i + 1));
  await using set = await IndexSet.open({ ...parts, signal });
  assert.equal(reads.size, 3);
  assert.deepEqual(numbers(set), upTo(1003));
  assert.ok(set.lookupLocation().tables.length <= 12);
});

test('index set > a damaged, cut, foreign or missing local file is fetched again', async (context) => {
  const parts = await bench(context);
  putIndex(parts, 'xn0_', range(0, 200));
  await (await IndexSet.open({ ...parts, signal }))[Symbol.asyncDispose]();
  const [name] = await readdir(parts.cacheDirectory);
  const path = join(parts.cacheDirectory, name!);
  const whole = await readFile(path);
  const damages = [
    ...[0, 5, 100, whole.length - 100, whole.length - 50, whole.length - 34, whole.length - 1].map((at) =>
      whole.map((byte, i) => (i === at ? byte ^ 1 : byte)),
    ),
    whole.subarray(0, whole.length - 1),
    whole.subarray(0, 20),
    Buffer.alloc(0),
    Buffer.concat([whole, Buffer.of(0)]),
  ];
  for (const damage of damages) {
    await writeFile(path, damage);
    parts.store.gets = 0;
    await using set = await IndexSet.open({ ...parts, signal });
    assert.equal(parts.store.gets, 1);
    assert.deepEqual(numbers(set), upTo(200));
  }
  await using other = await IndexSet.open({ ...parts, cacheKey: new Uint8Array(32).fill(9), signal });
  assert.deepEqual(numbers(other), upTo(200));
  assert.equal(parts.store.gets, 2);
});

test('index set > goes on when the local directory is deleted while it is open', async (context) => {
  const parts = await bench(context);
  putIndex(parts, 'xn0_', range(0, 20));
  await using set = await IndexSet.open({ ...parts, signal });
  await rm(parts.cacheDirectory, { recursive: true });
  assert.deepEqual(numbers(set), upTo(20));
  await set.flush(range(20, 30), { sessionId: session, signal });
  putIndex(parts, 'xn0_', range(30, 40));
  await set.refresh({ signal });
  assert.deepEqual(numbers(set), upTo(40));
});

test('index set > stale local files are removed, those in use are not', async (context) => {
  const parts = await bench(context);
  const first = putIndex(parts, 'xn0_', range(0, 20));
  await using set = await IndexSet.open({ ...parts, signal });
  parts.store.blobs.delete(first);
  putIndex(parts, 'xn0_', range(0, 25));
  await set.refresh({ signal });
  assert.equal((await readdir(parts.cacheDirectory)).length, 2);
  parts.clock.nowAtMs = Date.now() + 2 * 24 * 60 * 60 * 1000;
  await set.refresh({ signal });
  assert.equal((await readdir(parts.cacheDirectory)).length, 1);
  assert.deepEqual(numbers(set), upTo(25));
});

test('index set > lists again when a blob has been merged away since', async (context) => {
  const parts = await bench(context);
  const old = [putIndex(parts, 'xn0_', range(0, 10)), putIndex(parts, 'xn0_', range(10, 20))];
  parts.store.beforeGet = () => {
    parts.store.beforeGet = undefined;
    putIndex(parts, 'xn0_', range(0, 20));
    for (const id of old) parts.store.blobs.delete(id);
  };
  await using set = await IndexSet.open({ ...parts, signal });
  assert.deepEqual(numbers(set), upTo(20));
});

test('index set > a blob that is listed and never there is corrupt after ten attempts', async (context) => {
  const parts = await bench(context);
  putIndex(parts, 'xn0_', range(0, 10));
  let attempts = 0;
  parts.store.beforeGet = (id) => {
    attempts++;
    throw new BlobError('blob-not-found', id);
  };
  await assert.rejects(IndexSet.open({ ...parts, signal }), (error) => hasCode(error, 'corrupt'));
  assert.equal(attempts, 10);
});

test('index set > an index blob that is no index, or out of order, is corrupt and named', async (context) => {
  const parts = await bench(context);
  const good = encodeIndex([entry(1), entry(2)], { version: 2, hashLengthBytes: 16 });
  const swapped = Buffer.from(good);
  const stride = 17 + good[3]!;
  Buffer.from(good).copy(swapped, 17, 17 + stride, 17 + 2 * stride);
  Buffer.from(good).copy(swapped, 17 + stride, 17, 17 + stride);
  for (const plain of [
    Buffer.from('nonsense'),
    swapped,
    encodeIndex([entry(1, { contentId: contentId('00'.repeat(15)) })], { version: 2, hashLengthBytes: 15 }),
  ]) {
    parts.store.blobs.clear();
    const { id, bytes } = parts.codec.sealNamed('xn0_', `${session}-c1`, plain);
    parts.store.blobs.set(id, bytes);
    await assert.rejects(
      IndexSet.open({ ...parts, signal }),
      (error) => hasCode(error, 'corrupt') && error.message.includes(id),
    );
  }
});

test('index set > a local file under the name of another is not believed', async (context) => {
  const parts = await bench(context);
  const one = putIndex(parts, 'xn0_', range(0, 10));
  await (await IndexSet.open({ ...parts, signal }))[Symbol.asyncDispose]();
  const [name] = await readdir(parts.cacheDirectory);
  parts.store.blobs.delete(one);
  const other = putIndex(parts, 'xn0_', range(10, 20));
  await rename(join(parts.cacheDirectory, name!), join(parts.cacheDirectory, name!.replace(one, other)));
  await using set = await IndexSet.open({ ...parts, signal });
  assert.deepEqual(
    numbers(set),
    upTo(20).filter((number) => number >= 10),
  );
});

test('index set > tables stay open for workers until all have moved on', async (context) => {
  const parts = await bench(context);
  const first = putIndex(parts, 'xn0_', range(0, 10));
  await using set = await IndexSet.open({ ...parts, signal });
  const location = set.lookupLocation();
  parts.store.blobs.delete(first);
  putIndex(parts, 'xn0_', range(10, 20));
  await set.refresh({ signal });
  set.closeRetired();
  assert.equal(new IndexLookup(location).isLive(0, hashOf(entry(1).contentId)), true);
  const next = set.lookupLocation();
  assert.equal(new IndexLookup(location).isLive(0, hashOf(entry(1).contentId)), true);
  set.closeRetired();
  assert.throws(() => fstatSync(location.tables[0]!.fd), { code: 'EBADF' });
  assert.equal(new IndexLookup(next).isLive(0, hashOf(entry(11).contentId)), true);
});

test('index set > workers look into the tables until they have moved on', async (context) => {
  const parts = await bench(context);
  await using set = await IndexSet.open({ ...parts, signal });
  await set.flush(range(0, 100), { sessionId: session, signal });
  const location = set.lookupLocation();
  for (let i = 100; i < 140; i++) await set.flush([entry(i)], { sessionId: session, signal });
  const lookup = new IndexLookup(location);
  for (let i = 0; i < 100; i++)
    assert.deepEqual(lookup.find(i % 5 === 0 ? 0x6b : 0, hashOf(entry(i).contentId)), entry(i));
  const next = set.lookupLocation();
  set.closeRetired();
  const code = `
    import { parentPort, workerData } from 'node:worker_threads';
    const { IndexLookup } = await import(workerData.module);
    const lookup = new IndexLookup(workerData.location);
    parentPort.postMessage(workerData.hashes.map((hash) => lookup.isLive(0, hash)));
  `;
  const hashes = [1, 2, 139, 500].map((n) => spread(n, 16));
  const module = new URL('index-lookup.ts', import.meta.url).href;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), {
    workerData: { module, location: next, hashes },
  });
  const answers: unknown = await new Promise((resolve, reject) =>
    worker.once('message', resolve).once('error', reject),
  );
  await worker.terminate();
  assert.deepEqual(answers, [true, true, true, false]);
});

test('index set > a pass over the entries survives a refresh', async (context) => {
  const parts = await bench(context);
  const first = putIndex(parts, 'xn0_', range(0, 3000));
  await using set = await IndexSet.open({ ...parts, signal });
  let seen = 0;
  for (const _ of set.entries()) {
    if (seen++ === 10) {
      parts.store.blobs.delete(first);
      putIndex(parts, 'xn0_', range(0, 10));
      await set.refresh({ signal });
    }
  }
  assert.equal(seen, 3000);
  assert.deepEqual(numbers(set), upTo(10));
});

test('index set > an abort surfaces as the reason and changes nothing', async (context) => {
  const parts = await bench(context);
  putIndex(parts, 'xn0_', range(0, 10));
  await using set = await IndexSet.open({ ...parts, signal });
  putIndex(parts, 'xn0_', range(10, 20));
  const stop = new AbortController();
  parts.store.beforeGet = () => stop.abort(new Error('stopped'));
  await assert.rejects(set.refresh({ signal: stop.signal }), /stopped/);
  assert.deepEqual(numbers(set), upTo(10));
  assert.deepEqual(
    await readdir(parts.cacheDirectory).then((names) => names.filter((name) => name.includes('.tmp.'))),
    [],
  );
});
