/** What every BlobStore promises (blob-store.ts), as tests that each implementation and each layer runs. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { seededRng } from '../std/rng.ts';
import { BlobError, blobId, type BlobMetadata, type BlobStore } from './blob-store.ts';

export interface ContractStore extends AsyncDisposable {
  readonly store: BlobStore;
  /** Everything the store holds besides whole blobs, such as temporary files; empty when it is tidy. */
  leftovers(): Promise<readonly string[]>;
}

const signal = AbortSignal.timeout(60_000);
const data = (lengthBytes: number, seed = 1): Uint8Array => seededRng(seed).bytes(lengthBytes);
const name = blobId('p0123456789abcdef0123456789abcdef-s01234567');

/** `make` gives an empty store of its own to each test. */
export function blobStoreContract(title: string, make: () => Promise<ContractStore>): void {
  const promise = (sentence: string, check: (context: ContractStore) => Promise<void>): void => {
    test(sentence, async () => {
      await using context = await make();
      await using store = context.store;
      await check({ ...context, store });
      assert.deepEqual(await context.leftovers(), []);
    });
  };
  describe(`${title} keeps the blob store's contract`, () => {
    describeReading(promise);
    describeWriting(promise);
    describeUploads(promise);
    describeListing(promise);
  });
}

type Promised = (sentence: string, check: (context: ContractStore) => Promise<void>) => void;

function describeReading(promise: Promised): void {
  promise('returns what was put, whole and in ranges', async ({ store }) => {
    const bytes = data(10_000);
    const put = await store.put(name, bytes, { signal });
    assert.equal(put.lengthBytes, bytes.length);
    assert.equal(put.id, name);
    assert.deepEqual(Buffer.from(await store.get(name, { signal })), Buffer.from(bytes));
    for (const [offset, lengthBytes] of [
      [0, 1],
      [9_999, 1],
      [123, 4_567],
      [10_000, 0],
      [0, 10_000],
    ] as const) {
      const part = await store.get(name, { range: { offset, lengthBytes }, signal });
      assert.deepEqual(Buffer.from(part), Buffer.from(bytes.subarray(offset, offset + lengthBytes)));
    }
  });

  promise("reads into the caller's buffer without touching the rest of it", async ({ store }) => {
    await store.put(name, data(1000), { signal });
    const into = new Uint8Array(600).fill(0xee);
    const part = await store.get(name, { range: { offset: 10, lengthBytes: 500 }, into, signal });
    assert.equal(part.buffer, into.buffer);
    assert.deepEqual(Buffer.from(part), Buffer.from(data(1000).subarray(10, 510)));
    assert.ok(into.subarray(500).every((byte) => byte === 0xee));
  });

  promise('refuses a range that ends past the blob', async ({ store }) => {
    await store.put(name, data(100), { signal });
    for (const range of [
      { offset: 90, lengthBytes: 11 },
      { offset: 101, lengthBytes: 0 },
      { offset: 2 ** 52, lengthBytes: 1 },
    ]) {
      await assert.rejects(store.get(name, { range, signal }), withCode('blob-range'));
    }
    const huge = { offset: 0, lengthBytes: 2 ** 50 };
    await assert.rejects(store.get(name, { range: huge, signal }), withCode('blob-range'));
  });

  promise('says blob-not-found of what is not there', async ({ store }) => {
    const gone = blobId('pgone');
    await assert.rejects(store.get(gone, { signal }), withCode('blob-not-found'));
    await assert.rejects(store.get(gone, { range: { offset: 0, lengthBytes: 1 }, signal }), withCode('blob-not-found'));
    await assert.rejects(store.stat(gone, { signal }), withCode('blob-not-found'));
  });
}

function describeWriting(promise: Promised): void {
  promise('stores empty blobs and blobs with long names', async ({ store }) => {
    const long = blobId(`n${'x'.repeat(200)}`);
    await store.put(name, new Uint8Array(0), { signal });
    await store.put(long, data(3), { signal });
    assert.equal((await store.get(name, { signal })).length, 0);
    assert.equal((await store.stat(long, { signal })).lengthBytes, 3);
  });

  promise('replaces a blob by a put, also one that was being read', async ({ store }) => {
    await store.put(name, data(5000, 1), { signal });
    await store.get(name, { range: { offset: 0, lengthBytes: 10 }, signal });
    await store.put(name, data(4000, 2), { signal });
    assert.deepEqual(Buffer.from(await store.get(name, { signal })), Buffer.from(data(4000, 2)));
  });

  promise('never shows a mix while blobs are replaced', async ({ store }) => {
    const versions = Array.from({ length: 8 }, (_, version) => new Uint8Array(50_000).fill(version));
    await store.put(name, versions[0]!, { signal });
    const writing = Promise.all(versions.map((bytes) => store.put(name, bytes, { signal })));
    for (let reads = 0; reads < 20; reads += 1) {
      const seen = await store.get(name, { signal });
      assert.equal(seen.length, 50_000);
      assert.ok(seen.every((byte) => byte === seen[0]));
    }
    await writing;
  });

  promise('lets one of many conditional puts win', async ({ store }) => {
    const attempts = Array.from({ length: 8 }, (_, seed) =>
      store.put(name, data(100, seed), { ifAbsent: true, signal }),
    );
    const results = await Promise.allSettled(attempts);
    const winners = results.flatMap(({ status }, seed) => (status === 'fulfilled' ? [seed] : []));
    assert.equal(winners.length, 1);
    for (const result of results) {
      if (result.status === 'rejected') assert.ok(withCode('blob-exists')(result.reason));
    }
    assert.deepEqual(Buffer.from(await store.get(name, { signal })), Buffer.from(data(100, winners[0])));
  });

  promise('stores many blobs at once', async ({ store }) => {
    const ids = Array.from({ length: 50 }, (_, index) => blobId(`p${index}${'a'.repeat(30)}`));
    await Promise.all(ids.map((id, seed) => store.put(id, data(300, seed), { signal })));
    for (const [seed, id] of ids.entries()) {
      assert.deepEqual(Buffer.from(await store.get(id, { signal })), Buffer.from(data(300, seed)));
    }
  });

  promise('removes a blob once and for all, and twice without complaint', async ({ store }) => {
    await store.put(name, data(10), { signal });
    await store.get(name, { range: { offset: 0, lengthBytes: 1 }, signal });
    await store.remove(name, { signal });
    await store.remove(name, { signal });
    await assert.rejects(store.get(name, { range: { offset: 0, lengthBytes: 1 }, signal }), withCode('blob-not-found'));
    assert.deepEqual(await listed(store, ''), []);
  });

  promise('gives times of one clock that does not go back', async ({ store }) => {
    const times: number[] = [await store.serverTimeMs({ signal })];
    for (const index of [1, 2, 3]) {
      const { timestampMs } = await store.put(blobId(`n${index}`), data(10), { signal });
      assert.equal((await store.stat(blobId(`n${index}`), { signal })).timestampMs, timestampMs);
      times.push(timestampMs, await store.serverTimeMs({ signal }));
    }
    assert.deepEqual(
      times,
      times.toSorted((a, b) => a - b),
    );
  });

  promise('does nothing when the caller has given up', async ({ store }) => {
    const reason = new Error('given up');
    const aborted = AbortSignal.abort(reason);
    const same = (error: unknown): boolean => error === reason;
    await assert.rejects(store.put(name, data(10), { signal: aborted }), same);
    await assert.rejects(store.get(name, { signal: aborted }), same);
    await assert.rejects(store.remove(name, { signal: aborted }), same);
    await assert.rejects(store.upload(name, { signal: aborted }), same);
    assert.deepEqual(await listed(store, ''), []);
  });
}

function describeUploads(promise: Promised): void {
  promise('shows an upload only when it is committed', async ({ store }) => {
    await using upload = await store.upload(name, { signal });
    await upload.write(data(8192, 1));
    await upload.write(data(100, 2));
    await upload.write(data(5000, 3));
    assert.deepEqual(await listed(store, ''), []);
    await assert.rejects(store.stat(name, { signal }), withCode('blob-not-found'));
    const metadata = await upload.commit();
    const whole = Buffer.concat([data(8192, 1), data(100, 2), data(5000, 3)]);
    assert.equal(metadata.lengthBytes, whole.length);
    assert.deepEqual(await upload.commit(), metadata);
    assert.deepEqual(Buffer.from(await store.get(name, { signal })), whole);
    assert.deepEqual(await listed(store, ''), [metadata]);
  });

  promise('leaves nothing of an upload that was dropped or aborted', async ({ store }) => {
    const dropped = await store.upload(name, { signal });
    await dropped.write(data(5000));
    await dropped[Symbol.asyncDispose]();
    const stop = new AbortController();
    {
      await using aborted = await store.upload(name, { signal: stop.signal });
      await aborted.write(data(5000));
      const reason = new Error('stop');
      stop.abort(reason);
      await assert.rejects(aborted.commit(), (error) => error === reason);
      await assert.rejects(aborted.write(data(1)), (error) => error === reason);
    }
    assert.deepEqual(await listed(store, ''), []);
  });
}

function describeListing(promise: Promised): void {
  promise('lists by prefix, each blob once', async ({ store }) => {
    const names = [
      'kopia.repository',
      'n1',
      'n12',
      'p012345678901234567890',
      'p01',
      'pa12345678901234567890',
      'q0',
      'xe0_n1',
    ];
    for (const text of names) await store.put(blobId(text), data(7), { signal });
    for (const prefix of ['', 'n', 'n1', 'n12', 'p', 'p0', 'p01', 'p0123456', 'p012345678901234567890', 'xe', 'z']) {
      const found = (await listed(store, prefix)).map(({ id }) => String(id));
      assert.deepEqual(found, names.filter((text) => text.startsWith(prefix)).toSorted(), `prefix ${prefix}`);
    }
  });

  promise('lists in order, and after a name, where it says that it does', async ({ store }) => {
    const names = ['p1', 'p-', 'pA', 'pa', 'p_', 'p.', 'p10', 'P', 'q'].map(blobId);
    for (const id of names) await store.put(id, data(7), { signal });
    if (store.listsInOrder !== true) return;
    const found = await Array.fromAsync(store.list('', { signal }), ({ id }) => id);
    assert.deepEqual(found, names.toSorted());
    for (const after of names) {
      const rest = await Array.fromAsync(store.list('p', { after, signal }), ({ id }) => id);
      assert.deepEqual(
        rest,
        names.toSorted().filter((id) => id > after && id.startsWith('p')),
      );
    }
  });

  promise('lists the lengths and times that stat gives', async ({ store }) => {
    await store.put(name, data(77), { signal });
    assert.deepEqual(await listed(store, 'p'), [await store.stat(name, { signal })]);
  });
}

async function listed(store: BlobStore, prefix: string): Promise<BlobMetadata[]> {
  const blobs = await Array.fromAsync(store.list(prefix, { signal }));
  return blobs.toSorted((a, b) => (a.id < b.id ? -1 : 1));
}

function withCode(code: BlobError['code']): (error: unknown) => boolean {
  return (error) => error instanceof BlobError && error.code === code;
}
