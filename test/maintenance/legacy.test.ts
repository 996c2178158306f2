/** Maintenance of a repository without epochs (format version 1): what a quick and a full run do to it, and when. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { blobId } from '../../src/blobs/blob-store.ts';
import { FaultStore, type FaultRule } from '../../src/blobs/fault.ts';
import { compactLegacy } from '../../src/maintenance/compact-legacy.ts';
import { ContentCodec } from '../../src/repository/content/content-codec.ts';
import { Checker } from './checker.ts';
import { copyOf, CutStore } from './cut-store.ts';
import {
  areGone,
  areThere,
  backups,
  checked,
  deletedStates,
  list,
  quick,
  saidBy,
  taskOf,
  withContext,
} from './legacy-world.ts';
import { backup, chunk, deleteSnapshot, hourMs, maintainWorld, openWorld } from './world.ts';

const signal = new AbortController().signal;
const minuteMs = 60_000;

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
