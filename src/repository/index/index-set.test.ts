import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Worker } from 'node:worker_threads';

import { BlobError, blobId, type BlobId } from '../../blobs/blob-store.ts';
import type { Clock } from '../../std/clock.ts';
import { hasCode } from '../../std/dray-error.ts';
import { ContentCodec } from '../content/content-codec.ts';
import { contentId, contentIdOf, hashOf } from '../content/content-id.ts';
import { defaultEpochs, type ContentFormat } from '../format/content-format.ts';
import { encodeIndex } from './encode-index.ts';
import type { IndexEntry } from './index-entry.ts';
import { spread } from './index-fixtures.ts';
import { shardEntries, fnv1a } from './index-flush.ts';
import { IndexLookup } from './index-lookup.ts';
import { IndexSet, type IndexSetParts } from './index-set.ts';
import { MemoryStore } from './memory-store.ts';

const format: ContentFormat = {
  hash: 'BLAKE3-256-128',
  encryption: 'AES256-GCM-HMAC-SHA256',
  secret: new Uint8Array(32).fill(1),
  masterKey: new Uint8Array(32).fill(2),
  version: 3,
  indexVersion: 2,
  maxPackSizeBytes: 20 * 1024 * 1024,
  splitter: 'FIXED-1M',
  epochs: defaultEpochs,
  eccOverheadPercent: 0,
  enablePasswordChange: true,
};
const { signal } = new AbortController();
const session = 's0123456789abcdef123';

/** Time that passes only while somebody sleeps. */
function steppedClock(): Clock & { nowAtMs: number } {
  return {
    nowAtMs: 1_700_000_000_000,
    nowMs() {
      return this.nowAtMs;
    },
    monotonicMs() {
      return this.nowAtMs;
    },
    async sleep(ms) {
      this.nowAtMs += ms;
    },
  };
}

interface Bench extends IndexSetParts {
  readonly store: MemoryStore;
  readonly clock: ReturnType<typeof steppedClock>;
}

async function bench(context: TestContext): Promise<Bench> {
  const cacheDirectory = await mkdtemp(join(tmpdir(), 'index-set-'));
  context.after(async () => await rm(cacheDirectory, { recursive: true, force: true }));
  const codec = new ContentCodec(format);
  return {
    store: new MemoryStore(),
    codec,
    format,
    cacheDirectory,
    cacheKey: new Uint8Array(32).fill(3),
    clock: steppedClock(),
  };
}

function entry(number: number, change: Partial<IndexEntry> = {}): IndexEntry {
  return {
    contentId: contentIdOf(number % 5 === 0 ? 'k' : '', spread(number, 16)),
    packBlob: blobId(`p${(number % 7).toString().padStart(32, '0')}-${session}`),
    packOffset: number * 10,
    packedLength: 100 + number,
    originalLength: 72 + number,
    compression: 0,
    formatVersion: 3,
    encryptionKeyId: 0,
    deleted: false,
    timestampSeconds: 1000,
    ...change,
  };
}

function range(from: number, to: number): IndexEntry[] {
  return Array.from({ length: to - from }, (_, i) => entry(from + i));
}

/** Puts an index blob as another writer would. */
function putIndex(
  parts: Bench,
  prefix: string,
  entries: readonly IndexEntry[],
  suffix: string = `${session}-c1`,
): BlobId {
  const plain = encodeIndex(entries, { version: 2, hashLengthBytes: 16 });
  const { id, bytes } = parts.codec.sealNamed(prefix, suffix, plain);
  parts.store.blobs.set(id, bytes);
  return id;
}

function numbers(set: IndexSet): number[] {
  return [...set.entries()].map((one) => one.packOffset / 10).toSorted((a, b) => a - b);
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

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
  for (let i = 0; i < 40; i++) putIndex(parts, 'xn0_', range(i * 10, i * 10 + 10));
  await (await IndexSet.open({ ...parts, signal }))[Symbol.asyncDispose]();
  parts.store.gets = 0;
  await using set = await IndexSet.open({ ...parts, signal });
  assert.equal(parts.store.gets, 0);
  assert.deepEqual(numbers(set), upTo(400));
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
    encodeIndex([entry(1, { contentId: contentId('00ff') })], { version: 2, hashLengthBytes: 1 }),
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

test('index set > what it flushes is found at once, here and by others', async (context) => {
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

test('index set > flushes into the write epoch, and fails when two more have begun', async (context) => {
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

test('index set > shards that outlive the state are written again, for the epoch that is then', async (context) => {
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

test('index set > entries go to shards by the FNV of their content id, and no shard is empty', () => {
  assert.equal(fnv1a(''), 0x811c9dc5);
  assert.equal(fnv1a('foobar'), 0xbf9cf968);
  const shards = shardEntries(range(0, 30), 4);
  assert.equal(shards.flat().length, 30);
  assert.ok(
    shards.every((shard) => shard.length > 0 && new Set(shard.map((one) => fnv1a(one.contentId) % 8)).size === 1),
  );
});

test('index set > thousands of flushes leave few blobs, few tables and everything found', async (context) => {
  const parts = await bench(context);
  putIndex(parts, 'xn0_', range(0, 1000));
  await using set = await IndexSet.open({ ...parts, signal });
  for (let i = 0; i < 1000; i++) {
    const one = entry(1000 + i, i % 3 === 0 ? { deleted: true } : {});
    await set.flush([one], { sessionId: session, signal });
  }
  assert.deepEqual(numbers(set), upTo(2000));
  assert.ok(parts.store.blobs.size <= 36, `${parts.store.blobs.size} blobs`);
  assert.ok(set.lookupLocation().tables.length <= 12);
  set.closeRetired();
  assert.deepEqual(new Set(set.activeBlobs), new Set(parts.store.blobs.keys()));
  await using other = await IndexSet.open({ ...parts, cacheDirectory: join(parts.cacheDirectory, 'other'), signal });
  assert.deepEqual([...other.entries()], [...set.entries()]);
  assert.equal([...other.entries()].filter((one) => one.deleted).length, 334);
  await set.refresh({ signal });
  assert.deepEqual([...other.entries()], [...set.entries()]);
});

test('index set > a crash between writing the merged blob and removing the eight harms nothing', async (context) => {
  for (let removals = 0; removals <= 8; removals++) {
    const parts = await bench(context);
    await using set = await IndexSet.open({ ...parts, signal });
    for (let i = 0; i < 7; i++) await set.flush([entry(i)], { sessionId: session, signal });
    let left = removals;
    parts.store.beforeRemove = () => {
      if (left-- === 0) throw new Error('killed');
    };
    const last = set.flush([entry(7)], { sessionId: session, signal });
    if (removals < 8) await assert.rejects(last, /killed/);
    else await last;
    parts.store.beforeRemove = undefined;
    await using next = await IndexSet.open({ ...parts, cacheDirectory: join(parts.cacheDirectory, 'next'), signal });
    assert.equal(parts.store.blobs.size, 1 + 8 - removals);
    assert.deepEqual(numbers(next), upTo(8));
  }
});

test('index set > never removes a blob before what replaces it is durable', async (context) => {
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

test('index set > the eight stay when two epochs begin while they are merged', async (context) => {
  const parts = await bench(context);
  await using set = await IndexSet.open({ ...parts, signal });
  for (let i = 0; i < 7; i++) await set.flush([entry(i)], { sessionId: session, signal });
  let puts = 0;
  parts.store.afterPut = () => {
    if (puts++ === 1) parts.store.blobs.set(blobId('xe2'), Buffer.from('epoch-marker'));
  };
  await set.flush([entry(7)], { sessionId: session, signal });
  assert.equal([...parts.store.blobs.keys()].filter((id) => id.startsWith('xn')).length, 9);
});

test('index set > a merge that comes out the same as one of its parts keeps it', async (context) => {
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
  assert.deepEqual([...parts.store.blobs.keys()], [whole]);
  await set.refresh({ signal });
  assert.deepEqual(numbers(set), upTo(8));
});

test('index set > blobs that cannot be removed stay and are not merged again', async (context) => {
  const parts = await bench(context);
  await using set = await IndexSet.open({ ...parts, signal });
  parts.store.beforeRemove = (id) => {
    throw new BlobError('blob-denied', id);
  };
  for (let i = 0; i < 20; i++) await set.flush([entry(i)], { sessionId: session, signal });
  assert.equal(parts.store.blobs.size, 20 + 2);
  assert.deepEqual(numbers(set), upTo(20));
});

test('index set > a resumed run goes on merging what the interrupted one has left', async (context) => {
  const parts = await bench(context);
  await using first = await IndexSet.open({ ...parts, signal });
  for (let i = 0; i < 7; i++) await first.flush([entry(i)], { sessionId: session, signal });
  const left = first.ownBlobs;
  const gone = blobId(`xn0_${'0'.repeat(32)}-${session}-c1`);
  await using second = await IndexSet.open({ ...parts, signal });
  second.adopt([...left, gone]);
  assert.deepEqual(second.ownBlobs, left);
  await second.flush([entry(7)], { sessionId: 's00000000000000ff123', signal });
  assert.equal(parts.store.blobs.size, 1);
  assert.deepEqual(numbers(second), upTo(8));
  await first.refresh({ signal });
  assert.deepEqual(numbers(first), upTo(8));
});

test('index set > two runs that merge the same blobs lose nothing', async (context) => {
  const parts = await bench(context);
  await using one = await IndexSet.open({ ...parts, signal });
  for (let i = 0; i < 6; i++) await one.flush([entry(i)], { sessionId: session, signal });
  await using two = await IndexSet.open({ ...parts, cacheDirectory: join(parts.cacheDirectory, 'two'), signal });
  two.adopt(one.ownBlobs);
  for (let i = 0; i < 20; i++) {
    await one.flush([entry(100 + i)], { sessionId: session, signal });
    await two.flush([entry(200 + i)], { sessionId: 's00000000000000ff123', signal });
  }
  await using third = await IndexSet.open({ ...parts, cacheDirectory: join(parts.cacheDirectory, 'third'), signal });
  const expected = [...upTo(6), ...upTo(20).map((n) => n + 100), ...upTo(20).map((n) => n + 200)];
  assert.deepEqual(numbers(third), expected);
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

test('index set > a repository without epochs is refused', async (context) => {
  const parts = await bench(context);
  const without = { ...format, epochs: { ...defaultEpochs, enabled: false } };
  await assert.rejects(IndexSet.open({ ...parts, format: without, signal }), (error) => hasCode(error, 'unsupported'));
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
