import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposable, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';

import { systemClock } from '../std/clock.ts';
import { seededRng } from '../std/rng.ts';
import { blobStoreContract } from './blob-store.contract.ts';
import { blobId, type BlobStore } from './blob-store.ts';
import { CacheFile, entryBytesMax } from './cache-file.ts';
import { below, cachedStored, packBytes, packs } from './cache-fixtures.ts';
import { CacheStore } from './cache.ts';
import { CountStore, createCounts, readCounts } from './count.ts';
import { MemoryStore } from './memory-store.ts';

const { signal } = new AbortController();
const mib = 1024 * 1024;

blobStoreContract('a store with a cache for other names', async () => {
  const folder = await mkdtempDisposable(join(tmpdir(), 'dray-cache-'));
  const file = await openFile(join(folder.path, 'reads'), mib);
  const store = new CacheStore(
    { store: new MemoryStore({ clock: systemClock }), file },
    { prefixes: ['q'], scope: 'a' },
  );
  return { store, leftovers: async () => [], [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
});

interface Cached extends AsyncDisposable {
  readonly path: string;
  readonly store: BlobStore;
  /** How often the store itself was asked. */
  readonly gets: () => number;
}

async function cached(path: string, sizeBytes: number, scope = 'a'): Promise<Cached> {
  const counts = createCounts();
  const counted = new CountStore(await cachedStored(), { counts });
  const file = await openFile(path, sizeBytes);
  const store = new CacheStore({ store: counted, file }, { prefixes: ['q'], scope });
  return {
    path,
    store,
    gets: () => readCounts(counts).gets,
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

async function openFile(path: string, sizeBytes: number, clock = systemClock): Promise<CacheFile> {
  const file = await CacheFile.open({ path, sizeBytes, clock });
  assert.ok(file !== undefined);
  return file;
}

const read = async ({ store }: Cached, pack: number, offset: number, lengthBytes: number): Promise<void> => {
  const bytes = await store.get(blobId(packs[pack]!), { range: { offset, lengthBytes }, signal });
  assert.ok(Buffer.from(bytes).equals(packBytes(pack).subarray(offset, offset + lengthBytes)));
};

describe('the read cache', () => {
  test('asks the store once for a stretch, also in the next process, and never for another one', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'dray-cache-'));
    const path = join(folder.path, 'deep', 'reads');
    {
      await using first = await cached(path, mib);
      for (let again = 0; again < 3; again += 1) await read(first, 0, 100, 5000);
      await read(first, 0, 101, 5000);
      await read(first, 1, 100, 5000);
      assert.equal(first.gets(), 3);
    }
    await using second = await cached(path, mib);
    await read(second, 0, 100, 5000);
    assert.equal(second.gets(), 0);
    await using other = await cached(path, mib, 'another repository');
    await read(other, 0, 100, 5000);
    assert.equal(other.gets(), 1);
  });

  test('keeps nothing of blobs that may change, of whole ones, and of long stretches', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'dray-cache-'));
    await using some = await cached(join(folder.path, 'reads'), 16 * mib);
    for (let again = 0; again < 2; again += 1) {
      await read(some, 2, 0, 100);
      await some.store.get(blobId(packs[0]!), { signal });
      await read(some, 0, 0, entryBytesMax + 1);
      await some.store.get(blobId(packs[0]!), { range: { offset: 5, lengthBytes: 0 }, signal });
    }
    assert.equal(some.gets(), 8);
    await read(some, 0, 0, entryBytesMax);
    await read(some, 0, 0, entryBytesMax);
    assert.equal(some.gets(), 9);
  });

  test("puts what it kept into the caller's buffer, and refuses one that is too small as the store does", async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'dray-cache-'));
    await using some = await cached(join(folder.path, 'reads'), mib);
    for (let again = 0; again < 2; again += 1) {
      const into = new Uint8Array(600).fill(7);
      const bytes = await some.store.get(blobId(packs[0]!), { range: { offset: 9, lengthBytes: 500 }, into, signal });
      assert.equal(bytes.buffer, into.buffer);
      assert.ok(packBytes(0).subarray(9, 509).equals(bytes));
      assert.ok(into.subarray(500).every((byte) => byte === 7));
      const small = some.store.get(blobId(packs[0]!), {
        range: { offset: 9, lengthBytes: 500 },
        into: new Uint8Array(499),
        signal,
      });
      await assert.rejects(small, { code: 'blob-range' });
    }
  });

  test('is mended by whoever asks for what the store itself says', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'dray-cache-'));
    await using memory = new MemoryStore({ clock: systemClock });
    const id = blobId('q1');
    const range = { offset: 0, lengthBytes: 5 };
    await memory.put(id, Buffer.from('wrong'), { signal });
    const file = await openFile(join(folder.path, 'reads'), mib);
    await using store = new CacheStore({ store: memory, file }, { prefixes: ['q'], scope: 'a' });
    await store.get(id, { range, signal });
    await memory.put(id, Buffer.from('right'), { signal });
    assert.equal(Buffer.from(await store.get(id, { range, signal })).toString(), 'wrong');
    assert.equal(Buffer.from(await store.get(id, { range, fresh: true, signal })).toString(), 'right');
    assert.equal(Buffer.from(await store.get(id, { range, signal })).toString(), 'right');
  });

  test('no bit that flips in the file reaches a reader', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'dray-cache-'));
    const path = join(folder.path, 'reads');
    {
      await using filled = await cached(path, mib);
      for (let at = 0; at < 40; at += 1) await read(filled, at % 2, at * 1000, 3000);
    }
    const whole = await readFile(path);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat({ max: whole.length * 8 - 1 }), { minLength: 1, maxLength: 50 }),
        async (bits) => {
          const spoiled = Buffer.from(whole);
          for (const bit of bits) spoiled[bit >> 3]! ^= 1 << (bit & 7);
          await writeFile(path, spoiled);
          await using some = await cached(path, mib);
          for (let at = 0; at < 40; at += 1) await read(some, at % 2, at * 1000, 3000);
        },
      ),
      { numRuns: 30 },
    );
  });

  test('each entry whose bytes have changed is fetched again', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'dray-cache-'));
    const path = join(folder.path, 'reads');
    {
      await using filled = await cached(path, mib);
      await read(filled, 0, 7, 3000);
    }
    const whole = await readFile(path);
    await writeFile(
      path,
      whole.map((byte) => byte ^ 1),
    );
    await using some = await cached(path, mib);
    await read(some, 0, 7, 3000);
    await read(some, 0, 7, 3000);
    assert.equal(some.gets(), 1);
  });

  test('is never longer than its bound, whatever is read; one that may be shorter now is cut', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'dray-cache-'));
    const path = join(folder.path, 'reads');
    const rng = seededRng(5);
    const boundBytes = 1_000_000;
    {
      await using some = await cached(path, boundBytes);
      for (let reads = 0; reads < 1500; reads += 1) {
        const lengthBytes = 1 + below(rng, reads % 20 === 0 ? 300_000 : 9000);
        await read(some, below(rng, 2), below(rng, mib - lengthBytes), lengthBytes);
      }
    }
    const { size, blocks } = await stat(path);
    assert.ok(size > boundBytes / 2 && size <= boundBytes, `${size}`);
    assert.ok(blocks * 512 <= boundBytes + 4096);
    await using less = await cached(path, 300_000);
    await read(less, 0, 1, 2000);
    assert.ok((await stat(path)).size <= 300_000);
  });

  test('a small one keeps its bound too', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'dray-cache-'));
    const path = join(folder.path, 'reads');
    await using some = await cached(path, 300_000);
    for (const lengthBytes of [30_000, 40_000, 200_000, 299_000, 400_000, mib]) {
      for (let at = 0; at < 20; at += 1) await read(some, 0, at, lengthBytes);
    }
    assert.ok((await stat(path)).size <= 300_000);
  });

  test('what was used last stays when there is no room for all', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'dray-cache-'));
    let nowMs = 1_000_000_000;
    const clock = { ...systemClock, nowMs: () => nowMs };
    await using file = await openFile(join(folder.path, 'reads'), mib, clock);
    const keys = Array.from({ length: 60 }, (_, index) => `often ${index}`);
    for (const key of keys) await file.put(key, new Uint8Array(100));
    let hits = 0;
    for (let hour = 1; hour <= 20; hour += 1) {
      nowMs += 3_600_000;
      for (const key of keys) {
        if ((await file.get(key, 100)) === undefined) await file.put(key, new Uint8Array(100));
        else hits += 1;
      }
      for (let other = 0; other < 100; other += 1) await file.put(`once ${hour} ${other}`, new Uint8Array(100));
    }
    assert.ok(hits > 0.8 * 20 * keys.length, `${hits} of ${20 * keys.length}`);
    let old = 0;
    for (let other = 0; other < 100; other += 1) if ((await file.get(`once 1 ${other}`, 100)) !== undefined) old += 1;
    assert.ok(old < 20, `${old}`);
  });

  test('may be deleted or cut while it is in use', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'dray-cache-'));
    const path = join(folder.path, 'reads');
    await using some = await cached(path, mib);
    await read(some, 0, 0, 5000);
    await rm(path);
    await read(some, 0, 0, 5000);
    await read(some, 1, 0, 5000);
    await using later = await cached(path, mib);
    await read(later, 0, 0, 5000);
    await writeFile(path, '');
    await read(later, 0, 0, 5000);
    await read(later, 0, 0, 5000);
    assert.equal(later.gets(), 2);
  });

  test('where there can be no file, or none of that size, there is no cache', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'dray-cache-'));
    await writeFile(join(folder.path, 'file'), 'x');
    for (const [path, sizeBytes] of [
      [join(folder.path, 'file', 'reads'), mib],
      [join(folder.path, 'reads'), 0],
      [folder.path, mib],
    ] as const) {
      assert.equal(await CacheFile.open({ path, sizeBytes, clock: systemClock }), undefined);
    }
  });

  test('several processes share it, write over each other, and none ever reads what is not there', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'dray-cache-'));
    const path = join(folder.path, 'reads');
    const script = join(import.meta.dirname, 'cache-fixtures.ts');
    const children = [1, 2, 3].map((seed) =>
      spawn(process.execPath, [script, path, String(seed)], { stdio: ['ignore', 'ignore', 'inherit'] }),
    );
    const codes = await Promise.all(children.map(async (child) => (await once(child, 'exit'))[0] as unknown));
    assert.deepEqual(codes, [0, 0, 0]);
    await using after = await cached(path, mib);
    let hits = 0;
    for (let at = 0; at < 64; at += 1) {
      const before = after.gets();
      await read(after, 0, at * 1000, 3000);
      if (after.gets() === before) hits += 1;
    }
    assert.ok(hits > 10, `${hits}`);
  });
});
