/** What maintenance takes for used, how often it asks the store, and what it does when writers cross it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { blobId, type BlobId, type BlobStore } from '../../src/blobs/blob-store.ts';
import { UsedContents } from '../../src/maintenance/used-contents.ts';
import { ContentCodec } from '../../src/repository/content/content-codec.ts';
import type { ContentId } from '../../src/repository/content/content-id.ts';
import { sealAsSet } from '../../src/repository/index/compact-blobs.ts';
import { EpochBlobs } from '../../src/repository/index/epoch-blobs.ts';
import { EpochReader } from '../../src/repository/index/epoch-reader.ts';
import { IndexTable } from '../../src/repository/index/index-table.ts';
import { encodeIndirect } from '../../src/repository/object/indirect.ts';
import { directObjectId, indirectObjectId, type ObjectId } from '../../src/repository/object/object-id.ts';
import { Checker } from './checker.ts';
import {
  backup,
  chunk,
  deleteSnapshot,
  hourMs,
  identity,
  maintainWorld,
  openWorld,
  putFile,
  putSnapshot,
  type World,
} from './world.ts';

const signal = new AbortController().signal;

async function states(world: World): Promise<Map<ContentId, boolean>> {
  const entries = await new Checker(world.store, world.opened.format).entries();
  return new Map([...entries].map(([id, { deleted }]) => [id, deleted]));
}

/** A store that tells each request before it is made. */
function watched(store: BlobStore, on: (operation: string, name: string) => void | Promise<void>): BlobStore {
  return new Proxy(store, {
    get: (target, name) => {
      const value = Reflect.get(target, name, target) as unknown;
      if (typeof value !== 'function' || typeof name !== 'string') return value;
      const call = value.bind(target) as (...args: readonly unknown[]) => unknown;
      if (name === 'list') {
        return async function* (prefix: string, ...rest: readonly unknown[]) {
          await on(name, prefix);
          yield* call(prefix, ...rest) as AsyncIterable<unknown>;
        };
      }
      if (!['get', 'put', 'upload', 'remove'].includes(name)) return call;
      return async (id: string, ...rest: readonly unknown[]) => {
        await on(name, id);
        return await (call(id, ...rest) as Promise<unknown>);
      };
    },
  });
}

test('walk > bytes that are a file in one place and a list in another are both', async () => {
  await using world = await openWorld({ seed: 21 });
  {
    await using repository = await world.open('writer');
    await using writer = await repository.writer(identity, { signal });
    const objectId = directObjectId(await writer.write('', chunk(1)));
    const list = encodeIndirect([{ offset: 0, lengthBytes: chunk(1).length, objectId }]);
    const id = directObjectId(await writer.write('', list));
    await putSnapshot(repository, writer, {
      path: '/a',
      files: [id, indirectObjectId(id)],
      nowMs: world.clock.nowMs(),
    });
    await writer.finish();
  }
  world.clock.advance(30 * hourMs);
  await maintainWorld(world);
  assert.ok([...(await states(world)).values()].every((deleted) => !deleted));
});

test('walk > lists of lists, and lists within lists, keep all that they name', async () => {
  await using world = await openWorld({ seed: 22 });
  const numbers = [1, 2, 3, 4, 5, 6];
  {
    await using repository = await world.open('writer');
    await using writer = await repository.writer(identity, { signal });
    const nodes: { offset: number; lengthBytes: number; objectId: ObjectId }[] = [];
    for (const [n, pair] of [
      [1, 2],
      [3, 4],
      [5, 6],
    ].entries()) {
      const objectId = await putFile(writer, pair);
      nodes.push({
        offset: nodes.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0),
        lengthBytes: pair.reduce((sum, c) => sum + chunk(c).length, 0),
        objectId,
      });
      assert.equal(nodes.length, n + 1);
    }
    const text = encodeIndirect(nodes);
    const halves = [text.subarray(0, 50), text.subarray(50)];
    const pieces: typeof nodes = [];
    for (const [n, half] of halves.entries()) {
      pieces.push({
        offset: n * 50,
        lengthBytes: half.length,
        objectId: directObjectId(await writer.write('x', half)),
      });
    }
    const list = indirectObjectId(directObjectId(await writer.write('x', encodeIndirect(pieces))));
    await putSnapshot(repository, writer, { path: '/a', files: [indirectObjectId(list)], nowMs: world.clock.nowMs() });
    await writer.finish();
  }
  world.clock.advance(30 * hourMs);
  await maintainWorld(world);
  const found = await states(world);
  const codec = new ContentCodec(world.opened.format);
  for (const n of numbers) assert.equal(found.get(codec.idOf(chunk(n), '')), false, `chunk ${n}`);
  assert.ok([...found.values()].every((deleted) => !deleted));
});

test('walk > a list that names what the index does not have ends it', async () => {
  await using world = await openWorld({ seed: 23 });
  await backup(world, [[1]]);
  await using repository = await world.open('reader');
  using marks = repository.index.marks();
  const used = new UsedContents(repository, marks, { signal });
  const object = directObjectId(new ContentCodec(world.opened.format).idOf(chunk(99), ''));
  const entry = { name: 'f', type: 'f', mode: 0, sizeBytes: 0, modified: 0n, uid: 0, gid: 0, object };
  await assert.rejects(used.addSnapshot({ id: 'a' as never, rootEntry: entry }), { code: 'content-missing' });
});

test('walk > a pack of lists and folders is read once, whatever is in it, and equal folders once', async () => {
  await using world = await openWorld({ seed: 24 });
  for (let n = 0; n < 5; n++) await backup(world, [[1, 2], [3, 4, 5], [n]], `/path-${n}`);
  await maintainWorld(world);
  world.clock.advance(3 * hourMs);
  const gets = new Map<string, number>();
  const store = watched(world.store, (operation, name) => {
    if (operation === 'get') gets.set(name, (gets.get(name) ?? 0) + 1);
  });
  await maintainWorld(world, { store, client: 'fresh' });
  const packs = [...gets].filter(([name]) => /^[pq]/.test(name));
  assert.ok(packs.some(([name]) => name.startsWith('q')));
  for (const [pack, times] of packs) assert.ok(times <= 2, `${pack} was read ${times} times`);
  for (const [index, times] of [...gets].filter(([name]) => name.startsWith('xn'))) assert.equal(times, 1, index);
});

test('removal > a writer that puts its index and ends its session behind the first look loses nothing', async () => {
  await using world = await openWorld({ seed: 25 });
  await maintainWorld(world);
  await using repository = await world.open('writer');
  await using writer = await repository.writer(identity, { signal });
  const files = [await putFile(writer, [1])];
  await writer.flush();
  const pack = (await Array.fromAsync(world.store.list('p', { signal })))[0]!.id;
  const index = (await Array.fromAsync(world.store.list('xn', { signal }))).at(-1)!.id;
  // As if the index of a pack that is days old had only just been put.
  const late = await world.store.get(index, { signal });
  await world.store.remove(index, { signal });
  world.clock.advance(48 * hourMs);
  let ended = false;
  const store = watched(world.store, async (operation, name) => {
    if (ended || operation !== 'list' || name !== 's') return;
    ended = true;
    await world.store.put(index, late, { signal });
    await putSnapshot(repository, writer, { path: '/a', files, nowMs: world.clock.nowMs() });
    await writer.finish();
  });
  await maintainWorld(world, { store });
  assert.ok(ended);
  await world.store.stat(pack, { signal });
  await new Checker(world.store, world.opened.format).check();
});

test('writing > what was decided long ago is not written: the process was stopped', async () => {
  await using world = await openWorld({ seed: 26 });
  await deleteSnapshot(world, await backup(world, [[1]]));
  world.clock.advance(30 * hourMs);
  let stopped = false;
  const before = await states(world);
  const store = watched(world.store, (operation, name) => {
    // The marker is put when the first mark is made; the index is put after a list of epochs that is fresh.
    if (operation === 'put' && name.startsWith('s')) {
      stopped = true;
      world.clock.advance(20 * 60_000);
    }
    if (!stopped || operation !== 'list' || name !== 'x') return;
    stopped = false;
    world.clock.advance(31 * 60_000);
  });
  await assert.rejects(maintainWorld(world, { store }), { code: 'maintenance-late' });
  assert.deepEqual(await states(world), before);
  await maintainWorld(world);
  assert.equal((await states(world)).get(new ContentCodec(world.opened.format).idOf(chunk(1), '')), true);
});

test('index > a set in several blobs, cut at ranges of keys, says what its sources said', async () => {
  await using world = await openWorld({ seed: 27 });
  for (let n = 0; n < 4; n++) await backup(world, [[n, n + 1, n + 2, n + 10], [n + 20]], `/path-${n}`);
  await using repository = await world.open('compactor');
  const blobs = repository.index.activeBlobs;
  const before = [...repository.index.entries()];
  const lengthBytes = new Map<BlobId, number>();
  const options = { seal: sealAsSet('xs0_', world.rng), check: () => undefined, lengthBytes, signal };
  const put = await repository.index.compact(blobs, { ...options, entriesPerBlobMax: 5 });
  assert.ok(put.length > 3);
  const codec = new ContentCodec(world.opened.format);
  for (const name of put) {
    assert.ok(name.startsWith('xs0_') && name.endsWith(`-c${put.length}`));
    const plain = codec.openNamed(name, await world.store.get(name, { signal }));
    assert.ok(IndexTable.inMemory(plain).layout.count <= 5);
  }
  await world.store.put(blobId('xe2'), Buffer.from('epoch-marker'), { signal });
  for (const blob of blobs) await world.store.remove(blob, { signal });
  await using fresh = await world.open('fresh');
  assert.deepEqual([...fresh.index.entries()], before);
  await world.store.remove(put[1]!, { signal });
  await using broken = await world.open('broken');
  assert.deepEqual([...broken.index.entries()], [], 'an incomplete set is none');
});

test('index > epochs come and go, and everything is found all the time', async () => {
  await using world = await openWorld({ seed: 28 });
  const { clock, store } = world;
  const { format } = world.opened;
  const codec = new ContentCodec(format);
  const checker = new Checker(store, format);
  await backup(world, [[1, 2], [3]]);
  const entries = [...(await checker.entries()).values()];
  const kinds = new Set<string>();
  let removed = 0;
  for (let day = 0; day < 12; day++) {
    // Twenty writers, each with the index blob of its own.
    const blobs = new EpochBlobs({
      store,
      codec,
      indexVersion: 2,
      epochs: new EpochReader(store, { epochs: format.epochs, clock }),
    });
    for (let n = 0; n < 20; n++) {
      clock.advance(80 * 60_000);
      const timestampSeconds = Math.floor(clock.nowMs() / 1000);
      await blobs.put([{ ...entries[n % entries.length]!, timestampSeconds }], {
        sessionId: `s${n}`.padEnd(20, '0'),
        signal,
      });
    }
    const { tasks } = await maintainWorld(world, { mode: day % 2 === 0 ? 'full' : 'quick' });
    for (const { task, removed: gone } of tasks)
      if (task === 'delete-superseded-epoch-indexes') removed += gone?.count ?? 0;
    for await (const { id } of store.list('x', { signal })) kinds.add(id.slice(0, 2));
    await checker.check();
  }
  assert.deepEqual([...kinds].toSorted(), ['xe', 'xn', 'xr', 'xs', 'xw']);
  assert.ok(removed > 60, `${removed} merged blobs were removed`);
});
