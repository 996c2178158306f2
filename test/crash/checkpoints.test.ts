/** Long runs checkpoint thousands of times. What that leaves behind must not grow with them. */
import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { BlobStore } from '../../src/blobs/blob-store.ts';
import { MemoryStore } from '../../src/blobs/memory-store.ts';
import { createFormat } from '../../src/repository/format/format-store.ts';
import { replacedKeptMax } from '../../src/repository/index/replaced-blobs.ts';
import { Repository } from '../../src/repository/repository.ts';
import { systemClock as clock } from '../../src/std/clock.ts';
import { systemRng as rng } from '../../src/std/rng.ts';
import { backupFile, createEngine, openStore, problemsOf, restoreFile, withRepository } from '../support/engine.ts';
import { memoryFolder } from '../support/temporary.ts';

const signal = new AbortController().signal;
const identity = { userName: 'tester', host: 'here' };
/** Seven of each of the few tiers of sizes that are merged (`index/own-blobs.ts`), and what these have replaced of late. */
const indexBlobsMax = 40 + replacedKeptMax;
/** Kopia's own bound: from sixteen on they become one. */
const manifestContentsMax = 16;

async function indexBlobs(store: BlobStore): Promise<number> {
  return (await Array.fromAsync(store.list('x', { signal }))).length;
}

function manifestContents({ index }: Repository): number {
  return [...index.entries({ prefix: 'm' })].filter(({ deleted }) => !deleted).length;
}

test('checkpoints > more than a thousand of them leave few index blobs and manifests, at any time', async (t) => {
  await using folder = await memoryFolder('checkpoints');
  const store = new MemoryStore({ clock });
  const opened = await createFormat(store, { password: 'password', rng, signal });
  const cacheDirectory = join(folder.path, 'cache');
  await using repository = await Repository.openWith({ store, clock, rng }, opened, { cacheDirectory, signal });
  const set = await repository.manifests.load({ signal });
  await using writer = await repository.writer(identity, { signal });
  let id: ReturnType<typeof set.put> | undefined;
  const most = { indexBlobs: 0, manifestContents: 0 };
  for (let checkpoint = 0; checkpoint < 1200; checkpoint++) {
    await writer.write('', Buffer.from(`chunk ${checkpoint}`));
    await writer.write('x', Buffer.from(`what is done after ${checkpoint}`));
    id = set.put({ labels: { type: 'snapshot' }, data: { checkpoint }, ...(id && { id }) });
    await repository.manifests.save(set, writer);
    await writer.flush();
    if (checkpoint % 100 !== 99) continue;
    most.indexBlobs = Math.max(most.indexBlobs, await indexBlobs(store));
    most.manifestContents = Math.max(most.manifestContents, manifestContents(repository));
  }
  t.diagnostic(JSON.stringify(most));
  assert.ok(most.indexBlobs <= indexBlobsMax && most.manifestContents <= manifestContentsMax, JSON.stringify(most));
  await writer.finish();
  assert.equal((await Array.fromAsync(store.list('s', { signal }))).length, 0, 'a session marker was left');
});

test('checkpoints > a backup that makes one as often as it can leaves few blobs, and is whole', async (t) => {
  await using folder = await memoryFolder('checkpoints');
  const source = join(folder.path, 'volume.img');
  const nodes = 200;
  {
    await using file = await open(source, 'w');
    await file.truncate(nodes * 64 * 1024 * 1024);
    for (let node = 0; node < nodes; node++) await file.write(`node ${node}`, node * 64 * 1024 * 1024);
  }
  const engine = await createEngine(folder.path);
  const { snapshot } = await backupFile(engine, source, { checkpointBytes: 1, parallel: 1 });
  await using store = await openStore(engine);
  const flushes = (await Array.fromAsync(store.list('q', { signal }))).length;
  const left = { flushes, indexBlobs: await indexBlobs(store) };
  t.diagnostic(JSON.stringify(left));
  assert.ok(flushes > 10 && left.indexBlobs < 12 + replacedKeptMax, JSON.stringify(left));
  assert.ok((await withRepository(engine, async (repository) => manifestContents(repository))) <= manifestContentsMax);
  assert.deepEqual(await problemsOf(engine), []);
  const target = join(folder.path, 'restored.img');
  await restoreFile(engine, snapshot, target);
  await using restored = await open(target);
  assert.equal((await restored.stat()).size, nodes * 64 * 1024 * 1024);
  for (let node = 0; node < nodes; node++) {
    const { buffer } = await restored.read(Buffer.alloc(8), 0, 8, node * 64 * 1024 * 1024);
    assert.equal(buffer.toString().replaceAll('\0', ''), `node ${node}`.slice(0, 8));
  }
});
