/** Local index files that the disk changes while they are open: the cache is to blame, never the repository. */
import assert from 'node:assert/strict';
import { open, readdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';

import { hasCode } from '../../std/dray-error.ts';
import { hashOf } from '../content/content-id.ts';
import { IndexLookup } from './index-lookup.ts';
import { IndexSet } from './index-set.ts';
import { bench, entry, numbers, putIndex, range, session, signal, upTo, type Bench } from './index-set-bench.ts';

/** An index of 300 entries, of 17 + 16 bytes each, after 17 bytes of header. */
async function opened(context: TestContext): Promise<{ parts: Bench; set: IndexSet; path: string }> {
  const parts = await bench(context);
  putIndex(parts, 'xn0_', range(0, 300));
  const set = await IndexSet.open({ ...parts, signal });
  context.after(async () => await set[Symbol.asyncDispose]());
  const [name] = await readdir(parts.cacheDirectory);
  return { parts, set, path: join(parts.cacheDirectory, name!) };
}

async function overwrite(path: string, bytes: Uint8Array, at: number): Promise<void> {
  await using file = await open(path, 'r+');
  await file.write(bytes, 0, bytes.length, at);
}

const blamesTheCache = (error: unknown): boolean =>
  hasCode(error, 'index-cache') && /cache folder .* holds a damaged file/.test(error.message);

test('damaged table > what cannot be parsed is the cache, in this thread and in others', async (context) => {
  const { set, path } = await opened(context);
  const lookup = new IndexLookup(set.lookupLocation());
  // The number of the pack: there are seven.
  for (let n = 0; n < 300; n++) await overwrite(path, Buffer.of(0xff, 0xff), 17 + n * 33 + 17 + 14);
  assert.throws(() => set.find(entry(7).contentId), blamesTheCache);
  assert.throws(() => lookup.find(0, hashOf(entry(8).contentId)), blamesTheCache);
  assert.throws(() => [...set.entries()], blamesTheCache);
});

test('damaged table > an impossible prefix is the cache', async (context) => {
  const { set, path } = await opened(context);
  for (let n = 0; n < 300; n++) await overwrite(path, Buffer.of(0x7f), 17 + n * 33);
  assert.throws(() => [...set.entries()], blamesTheCache);
});

test('damaged table > one that was cut short under its readers ends, as the cache', async (context) => {
  for (const length of [0, 10, 17, 2000]) {
    const { set, path } = await opened(context);
    const lookup = new IndexLookup(set.lookupLocation());
    await truncate(path, length);
    assert.throws(() => [...set.entries()], blamesTheCache);
    assert.throws(() => upTo(300).forEach((n) => set.find(entry(n).contentId)), blamesTheCache);
    assert.throws(
      () => upTo(300).forEach((n) => lookup.find(n % 5 ? 0 : 0x6b, hashOf(entry(n).contentId))),
      blamesTheCache,
    );
  }
});

test('damaged table > is made again by the next opening', async (context) => {
  const { parts, path } = await opened(context);
  await overwrite(path, Buffer.of(0xff, 0xff), 17 + 17 + 14);
  await using set = await IndexSet.open({ ...parts, signal });
  assert.deepEqual(numbers(set), upTo(300));
});

test('damaged table > what is wrong in it is not merged into another under a good checksum', async (context) => {
  const { parts, set, path } = await opened(context);
  // A time that could be true.
  await overwrite(path, Buffer.of(0, 0, 9, 9), 17 + 17);
  for (let n = 1; n < 8; n++) putIndex(parts, 'xn0_', range(n * 300, n * 300 + 300));
  await assert.rejects(set.refresh({ signal }), blamesTheCache);
  await using again = await IndexSet.open({ ...parts, signal });
  assert.ok([...again.entries()].every(({ timestampSeconds }) => timestampSeconds === 1000));
});

test('damaged table > a place where nothing can be made is named, at once', { timeout: 20_000 }, async (context) => {
  const parts = await bench(context);
  putIndex(parts, 'xn0_', range(0, 3));
  const file = join(parts.cacheDirectory, 'file');
  await writeFile(file, 'mine');
  for (const cacheDirectory of ['/proc/x/y', file, join(file, 'x'), '/dev/null/x', `/tmp/${'n'.repeat(300)}`]) {
    await assert.rejects(IndexSet.open({ ...parts, cacheDirectory, signal }), (error) => {
      return hasCode(error, 'index-cache') && error.message.includes(cacheDirectory);
    });
  }
  await using set = await IndexSet.open({ ...parts, signal });
  await set.flush(range(3, 5), { sessionId: session, signal });
  assert.deepEqual(numbers(set), upTo(5));
});
