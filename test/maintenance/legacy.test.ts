/** Maintenance of a repository without epochs (format version 1): its index blobs, their logs, and who may be at work meanwhile. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { blobId, type BlobId, type BlobStore } from '../../src/blobs/blob-store.ts';
import { FaultStore, type FaultRule } from '../../src/blobs/fault.ts';
import { compactLegacy, dropFromLegacy } from '../../src/maintenance/compact-legacy.ts';
import type { MaintenanceResult } from '../../src/maintenance/maintain.ts';
import type { TaskContext } from '../../src/maintenance/task.ts';
import { ContentCodec } from '../../src/repository/content/content-codec.ts';
import type { ContentId } from '../../src/repository/content/content-id.ts';
import { encodeIndex } from '../../src/repository/index/encode-index.ts';
import type { IndexEntry } from '../../src/repository/index/index-entry.ts';
import { IndexTable } from '../../src/repository/index/index-table.ts';
import { LegacyBlobs } from '../../src/repository/index/legacy-blobs.ts';
import { nanosecondsFromMs, nanosecondsPerSecond, type Nanoseconds } from '../../src/std/go-time.ts';
import { Checker } from './checker.ts';
import { crossedStore } from './crossed-store.ts';
import { copyOf, CutStore } from './cut-store.ts';
import {
  backup,
  chunk,
  deleteSnapshot,
  hourMs,
  identity,
  maintainWorld,
  openWorld,
  type MaintainOptions,
  type World,
} from './world.ts';

const signal = new AbortController().signal;
const minuteMs = 60_000;

async function list(store: BlobStore, prefix: string): Promise<BlobId[]> {
  return (await Array.fromAsync(store.list(prefix, { signal }))).map(({ id }) => id).toSorted();
}

async function areThere(store: BlobStore, blobs: readonly BlobId[]): Promise<boolean> {
  const names = new Set(await list(store, ''));
  return blobs.every((blob) => names.has(blob));
}

async function areGone(store: BlobStore, blobs: readonly BlobId[]): Promise<boolean> {
  const names = new Set(await list(store, ''));
  return !blobs.some((blob) => names.has(blob));
}

function taskOf(result: MaintenanceResult, name: string): MaintenanceResult['tasks'][number] {
  const found = result.tasks.findLast(({ task }) => task === name);
  assert.ok(found !== undefined, name);
  return found;
}

async function quick(world: World, options: MaintainOptions = {}): Promise<MaintenanceResult> {
  return await checked(world, { mode: 'quick', ...options });
}

async function checked(world: World, options: MaintainOptions = {}): Promise<MaintenanceResult> {
  const result = await maintainWorld(world, options);
  await new Checker(world.store, world.opened.format).check();
  return result;
}

/** Each a flush of its own, and so an index blob. */
async function backups(world: World, count: number): Promise<void> {
  for (let n = 0; n < count; n++) await backup(world, [[n], [n, n + 1]], `/path-${n}`);
}

async function deletedStates(world: World): Promise<ReadonlyMap<string, boolean>> {
  const entries = await new Checker(world.store, world.opened.format).entries();
  return new Map([...entries].map(([id, { deleted }]) => [id, deleted]));
}

/** Everything that an index blob says, by content. */
async function saidBy(world: World, blob: BlobId): Promise<ReadonlyMap<string, boolean>> {
  const codec = new ContentCodec(world.opened.format);
  const plain = codec.openNamed(blob, await world.store.get(blob, { signal }));
  return new Map([...IndexTable.inMemory(plain).entries()].map((entry) => [entry.contentId, entry.deleted]));
}

test('without epochs > a quick run merges small index blobs, which stay for an hour, and their log for another', async () => {
  await using world = await openWorld({ seed: 71, format: 'legacy' });
  const { store, clock } = world;
  await backups(world, 8);
  clock.advance(2 * hourMs);
  const before = await deletedStates(world);
  const small = await list(store, 'n');
  assert.ok(small.length >= 8);
  const dry = await quick(world, { dryRun: true });
  assert.match(taskOf(dry, 'index-compaction').summary, /index blobs become one/);
  assert.deepEqual(await list(store, 'n'), small);

  const first = await quick(world);
  assert.equal(taskOf(first, 'quick-rewrite-contents').state, 'done');
  const [log, ...more] = await list(store, 'm');
  assert.ok(log !== undefined && more.length === 0);
  const merged = (await list(store, 'n')).filter((blob) => !blob.includes('-'));
  assert.equal(merged.length, 1, 'one that belongs to no session');
  assert.deepEqual([...(await deletedStates(world)).keys()].toSorted(), [...before.keys()].toSorted());
  assert.ok(await areThere(store, small));

  clock.advance(hourMs - minuteMs);
  await quick(world);
  assert.ok(await areThere(store, small), 'not an hour');
  assert.deepEqual(await list(store, 'l'), []);

  clock.advance(minuteMs);
  const removing = await quick(world);
  assert.equal(
    taskOf(removing, 'index-compaction').removed?.count,
    small.length + 1,
    'those, and what gathering had put',
  );
  assert.ok(await areGone(store, small));
  const [cleanup] = await list(store, 'l');
  assert.ok(cleanup !== undefined && (await areThere(store, [log])));

  clock.advance(hourMs);
  await quick(world);
  assert.ok(await areGone(store, [log, cleanup]));
  assert.deepEqual(await list(store, 'm'), []);
  await using again = await world.open('reader');
  assert.deepEqual(
    [...again.index.entries()].map(({ contentId }) => contentId).toSorted(),
    [...before.keys()].toSorted(),
  );
});

test('without epochs > a full run drops what two collections have left marked, and the index says nothing of it', async () => {
  await using world = await openWorld({ seed: 72, format: 'legacy' });
  const { clock, store } = world;
  const gone = await backup(world, [[1], [2]], '/gone');
  await backup(world, [[2], [3]], '/stays');
  const id = new ContentCodec(world.opened.format).idOf(chunk(1), '');
  clock.advance(25 * hourMs);
  await deleteSnapshot(world, gone);
  await checked(world);
  assert.equal((await deletedStates(world)).get(id), true, 'marked');
  clock.advance(5 * hourMs);
  assert.equal(taskOf(await checked(world), 'full-drop-deleted-content').state, 'done');
  assert.equal((await deletedStates(world)).get(id), true, 'while the first of the two collections ran');
  // Marked contents move to another pack, still marked and with a later time, before they are dropped.
  const drop = async (): Promise<string> => {
    clock.advance(25 * hourMs);
    return taskOf(await checked(world), 'full-drop-deleted-content').summary;
  };
  for (let day = 0; !/^[1-9][0-9]* contents/.test(await drop()); day++) {
    assert.ok(day < 5);
    assert.equal((await deletedStates(world)).get(id), true);
  }
  assert.equal((await deletedStates(world)).get(id), undefined);
  const after = await list(store, 'm');
  assert.match(await drop(), /^0 contents/);
  assert.ok(
    (await list(store, 'm')).every((log) => after.includes(log)),
    'nothing to drop, nothing written',
  );
  for (let day = 0; day < 3; day++) await drop();
  for (const blob of await list(store, 'n'))
    assert.ok(!(await saidBy(world, blob)).has(id), 'not even where it was replaced');
});

/** The index blobs of a world, put as by writers of their own: X is alive in the first and deleted in the second. */
async function hiddenBehind(world: World): Promise<{ readonly id: ContentId; readonly hiding: BlobId }> {
  const { format } = world.opened;
  await backup(world, [[1], [2]], '/data');
  const id = new ContentCodec(format).idOf(chunk(1), '');
  const entry = (await new Checker(world.store, format).entries()).get(id);
  assert.ok(entry !== undefined);
  world.clock.advance(hourMs);
  const timestampSeconds = entry.timestampSeconds + 60;
  const hiding = await putIndex(world, [{ ...entry, deleted: true, timestampSeconds }]);
  for (let n = 0; n < 8; n++) await backup(world, [[10 + n]], `/path-${n}`);
  return { id, hiding };
}

async function putIndex({ store, opened }: World, entries: readonly IndexEntry[]): Promise<BlobId> {
  const { indexVersion } = opened.format;
  const blobs = new LegacyBlobs({ store, codec: new ContentCodec(opened.format), indexVersion });
  const { blobs: put } = await blobs.put(entries, { sessionId: 's0123456789abcdef147', signal });
  return put[0]!.id;
}

/** A blob is told to be too large to be merged in a quick run. */
function toldLarge(store: BlobStore, large: BlobId): BlobStore {
  return new Proxy(store, {
    get: (target, name) => {
      if (name === 'list') {
        return async function* (...[prefix, options]: Parameters<BlobStore['list']>) {
          for await (const blob of target.list(prefix, options)) {
            yield blob.id === large ? { ...blob, lengthBytes: 40 * 1024 * 1024 } : blob;
          }
        };
      }
      const value = Reflect.get(target, name, target) as unknown;
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

async function withContext<T>(
  world: World,
  { client, store = world.store }: { readonly client: string; readonly store?: BlobStore },
  work: (context: TaskContext) => Promise<T>,
): Promise<T> {
  await using repository = await world.open(client, store);
  const { clock, rng, folder } = world;
  const startMs = clock.nowMs();
  return await work({ repository, clock, rng, identity, startMs, dryRun: false, spoolFolder: folder, signal });
}

test('without epochs > while one merges some blobs, another drops what hides an entry of theirs: it does not come back', async () => {
  await using world = await openWorld({ seed: 73, format: 'legacy' });
  const { id, hiding } = await hiddenBehind(world);
  const upTo = nanosecondsFromMs(world.clock.nowMs());
  let crossed = false;
  const store = crossedStore(toldLarge(world.store, hiding), async (request) => {
    if (request !== 'put' || crossed) return;
    crossed = true;
    const { summary } = await withContext(
      world,
      { client: 'other' },
      async (context) => await dropFromLegacy(context, upTo),
    );
    assert.match(summary, /^1 contents/);
    assert.equal((await deletedStates(world)).get(id), undefined, 'dropped');
  });
  await withContext(world, { client: 'merging', store }, compactLegacy);
  assert.ok(crossed);
  assert.equal((await deletedStates(world)).get(id), undefined, 'still dropped');
});

test('without epochs > an entry is dropped when it was deleted before the time, and not in its very second', async () => {
  await using world = await openWorld({ seed: 74, format: 'legacy' });
  const { id } = await hiddenBehind(world);
  const entry = (await new Checker(world.store, world.opened.format).entries()).get(id);
  const at = BigInt(entry!.timestampSeconds) * nanosecondsPerSecond;
  const drop = async (upTo: Nanoseconds): Promise<boolean> => {
    await withContext(world, { client: 'dropping' }, async (context) => await dropFromLegacy(context, upTo));
    return (await deletedStates(world)).has(id);
  };
  assert.equal(await drop(at), true);
  assert.equal(await drop(at + 1n), false);
});

test('without epochs > what was listed long ago is not merged any more', async () => {
  await using world = await openWorld({ seed: 75, format: 'legacy' });
  await hiddenBehind(world);
  for (const [nth, name] of [
    [1, 'before the index'],
    [2, 'before its log'],
  ] as const) {
    const before = await deletedStates(world);
    let puts = 0;
    const store = crossedStore(world.store, async (request) => {
      // The reading before the first put, and the look at it before the second.
      if (request === (nth === 1 ? 'list' : 'stat') && ++puts === (nth === 1 ? 4 : 1))
        world.clock.advance(21 * minuteMs);
    });
    const late = withContext(world, { client: `late-${nth}`, store }, compactLegacy);
    await assert.rejects(late, { code: 'index-conflict' }, name);
    assert.deepEqual(await deletedStates(world), before);
    assert.deepEqual(await list(world.store, 'm'), []);
  }
});

test('without epochs > a merge that says what one of its blobs says already does not replace itself', async () => {
  await using world = await openWorld({ seed: 79, format: 'legacy' });
  const { store, opened } = world;
  await backups(world, 8);
  const before = await deletedStates(world);
  const entries = [...(await new Checker(store, opened.format).entries()).values()];
  const codec = new ContentCodec(opened.format);
  const plain = encodeIndex(entries, { version: opened.format.indexVersion, hashLengthBytes: codec.hashLengthBytes });
  const { id, bytes } = codec.sealNamed('n', '', plain);
  await store.put(id, bytes, { signal });
  await withContext(world, { client: 'merging' }, compactLegacy);
  assert.equal((await list(store, 'm')).length, 1);
  assert.deepEqual((await deletedStates(world)).size, before.size);
});

test('without epochs > a quick run gathers packs of metadata and leaves those of data alone', async () => {
  await using world = await openWorld({ seed: 80, format: 'legacy' });
  const { clock, store } = world;
  await backups(world, 4);
  clock.advance(3 * hourMs);
  const [data, metadata] = [await list(store, 'p'), await list(store, 'q')];
  await quick(world);
  assert.deepEqual(await list(store, 'p'), data);
  assert.equal((await list(store, 'q')).length, metadata.length + 1);
  clock.advance(25 * hourMs);
  const lost = blobId(`p${'0'.repeat(32)}-sffffffffffffffff141`);
  await store.put(lost, Buffer.alloc(10), { signal });
  store.setTimestamp(lost, clock.nowMs() - 48 * hourMs);
  const second = await quick(world);
  assert.equal(taskOf(second, 'quick-rewrite-contents').state, 'skipped', 'packs are removed first');
  assert.equal(taskOf(second, 'quick-delete-blobs').removed?.count, metadata.length);
  assert.equal((await list(store, 'q')).length, 1);
  assert.ok(await areThere(store, [lost]), 'it is of data');
  clock.advance(3 * hourMs);
  await checked(world);
  clock.advance(2 * hourMs);
  assert.equal(taskOf(await quick(world), 'full-delete-blobs').state, 'done', 'what a full run has emptied');
  assert.ok(await areGone(store, [lost]));
});

test('without epochs > a blob that the store keeps is told, and its log stays with it', async () => {
  await using world = await openWorld({ seed: 76, format: 'legacy' });
  const { clock, store } = world;
  await backups(world, 8);
  const [kept] = await list(store, 'n');
  await withContext(world, { client: 'one' }, compactLegacy);
  clock.advance(hourMs);
  const fault = { kind: 'fail', code: 'blob-denied' } as const;
  const rules: FaultRule[] = [{ operations: ['remove'], prefix: kept!, when: { from: 1 }, fault }];
  const denying = new FaultStore({ store, clock }, { seed: 1, rules });
  const { refused, removed } = await withContext(world, { client: 'one', store: denying }, compactLegacy);
  assert.equal(refused?.count, 1);
  assert.ok((removed?.count ?? 0) >= 8);
  assert.deepEqual(await list(store, 'l'), [], 'nothing is scheduled');
  const [log] = await list(store, 'm');
  await withContext(world, { client: 'one' }, compactLegacy);
  assert.ok(await areGone(store, [kept!]));
  assert.ok(await areThere(store, [log!]));
  assert.equal((await list(store, 'l')).length, 1);
});

test('without epochs > a full store is cleared of what was merged, though nothing can be put', async () => {
  await using world = await openWorld({ seed: 77, format: 'legacy' });
  const { clock, store } = world;
  await backups(world, 8);
  const small = await list(store, 'n');
  await withContext(world, { client: 'one' }, compactLegacy);
  const log = blobId('_log_old');
  await store.put(log, Buffer.alloc(10), { signal });
  store.setTimestamp(log, clock.nowMs() - 40 * 24 * hourMs);
  clock.advance(hourMs);
  const fault = { kind: 'fail', code: 'blob-no-space' } as const;
  const rules: FaultRule[] = [{ operations: ['put', 'upload'], when: { from: 1 }, fault }];
  const full = new FaultStore({ store, clock }, { seed: 1, rules });
  await assert.rejects(maintainWorld(world, { store: full }), { code: 'blob-no-space' });
  assert.ok(await areGone(store, [...small, log]));
  await new Checker(store, world.opened.format).check();
});

test('without epochs > a quick run may die before or after any change that it makes', async () => {
  await using world = await openWorld({ seed: 78, format: 'legacy' });
  const { clock } = world;
  // What was merged hours ago, a log that was scheduled, and blobs to merge.
  await backups(world, 8);
  for (let hours = 0; hours < 3; hours++) {
    await quick(world);
    clock.advance(hourMs);
    await backups(world, 8);
  }
  clock.advance(hourMs);
  const before = await deletedStates(world);
  let changes = Infinity;
  for (let at = 1; at <= changes; at++) {
    const store = await copyOf(world);
    const cut = new CutStore(store, { at, after: at % 2 === 0 });
    const client = `client-${at}`;
    const died = await maintainWorld(world, { mode: 'quick', store: cut.store, client }).then(
      () => false,
      (error: unknown) => error instanceof Error,
    );
    if (!died) changes = cut.changes;
    const checker = new Checker(store, world.opened.format);
    await checker.check();
    assert.deepEqual([...(await checker.entries()).keys()].toSorted(), [...before.keys()].toSorted(), `died at ${at}`);
    await maintainWorld(world, { mode: 'quick', store, client });
    await checker.check();
  }
  assert.ok(changes > 15, `${changes} changes`);
});
