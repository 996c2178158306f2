/** Maintenance of a whole repository in simulated time: what goes, when, and what never does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { blobId, type BlobId, type BlobMetadata, type BlobStore } from '../../src/blobs/blob-store.ts';
import { FaultStore, type FaultRule } from '../../src/blobs/fault.ts';
import type { MaintenanceResult } from '../../src/maintenance/maintain.ts';
import { ContentCodec } from '../../src/repository/content/content-codec.ts';
import type { ContentId } from '../../src/repository/content/content-id.ts';
import { encodeSessionMarker } from '../../src/repository/content/session.ts';
import type { IndexEntry } from '../../src/repository/index/index-entry.ts';
import type { ObjectId } from '../../src/repository/object/object-id.ts';
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
  type MaintainOptions,
  type World,
} from './world.ts';

const signal = new AbortController().signal;

async function list(world: World, prefix = ''): Promise<BlobId[]> {
  return (await Array.fromAsync(world.store.list(prefix, { signal }))).map(({ id }) => id).toSorted();
}

function stateOf(result: MaintenanceResult, task: string): string | undefined {
  return result.tasks.findLast((report) => report.task === task)?.state;
}

function idOf(world: World, n: number): ContentId {
  return new ContentCodec(world.opened.format).idOf(chunk(n), '');
}

async function entryOf(world: World, n: number): Promise<IndexEntry | undefined> {
  return (await new Checker(world.store, world.opened.format).entries()).get(idOf(world, n));
}

/** Time passes, a full maintenance runs, and whatever is visible is whole. */
async function later(world: World, hours: number, options: MaintainOptions = {}): Promise<MaintenanceResult> {
  world.clock.advance(hours * hourMs);
  const result = await maintainWorld(world, options);
  await new Checker(world.store, world.opened.format).check();
  return result;
}

test('maintenance > what only a deleted snapshot used goes within days, and what others share stays', async () => {
  await using world = await openWorld({ seed: 1 });
  const gone = await backup(world, [[1, 2], [3], [4]], '/one');
  const [pack] = await list(world, 'p');
  assert.ok(pack !== undefined);
  await backup(world, [[2, 5], [3]], '/two');
  world.clock.advance(25 * hourMs);
  await deleteSnapshot(world, gone);

  await later(world, 0);
  for (const n of [1, 4]) assert.equal((await entryOf(world, n))?.deleted, true, `${n} is marked`);
  for (const n of [2, 3, 5]) assert.equal((await entryOf(world, n))?.deleted, false, `${n} is used`);

  const second = await later(world, 5);
  assert.equal(stateOf(second, 'full-drop-deleted-content'), 'done');
  assert.notEqual(await entryOf(world, 1), undefined, 'marked while the first of the two collections ran');
  assert.ok((await list(world, 'p')).includes(pack), 'not without 24 hours');

  for (let day = 0; day < 5; day++) await later(world, 25);
  assert.equal(await entryOf(world, 1), undefined, 'dropped');
  assert.ok(!(await list(world, 'p')).includes(pack), 'its contents that are used are elsewhere now');
  assert.deepEqual(await list(world, 's'), []);
});

test('maintenance > contents that move to another pack are as deleted, or as used, as they were', async () => {
  await using world = await openWorld({ seed: 17 });
  await maintainWorld(world);
  await deleteSnapshot(world, await backup(world, [[1], [2]], '/goes'));
  await backup(world, [[2], [3]], '/stays');
  await backup(world, [[4]], '/stays-too');
  await later(world, 25);
  const before = await Promise.all([1, 3].map(async (n) => await entryOf(world, n)));
  await later(world, 3);
  const after = await Promise.all([1, 3].map(async (n) => await entryOf(world, n)));
  assert.deepEqual(
    before.map((entry) => entry?.deleted),
    [true, false],
  );
  assert.deepEqual(
    after.map((entry) => entry?.deleted),
    [true, false],
  );
  for (const [n, entry] of after.entries()) {
    assert.notEqual(entry?.packBlob, before[n]?.packBlob);
    assert.ok(entry!.timestampSeconds > before[n]!.timestampSeconds);
  }
});

test('maintenance > what nobody uses stays for a day after it was stored', async () => {
  await using world = await openWorld({ seed: 2 });
  await deleteSnapshot(world, await backup(world, [[1]]));
  await later(world, 23);
  assert.equal((await entryOf(world, 1))?.deleted, false);
  await later(world, 1);
  assert.equal((await entryOf(world, 1))?.deleted, true);
});

test('maintenance > a backup that relied on what was marked behind its back is whole, and stays so', async () => {
  await using world = await openWorld({ seed: 3 });
  const old = await backup(world, [[1], [2]]);
  world.clock.advance(30 * hourMs);
  await deleteSnapshot(world, old);
  await using repository = await world.open('racing');
  await using writer = await repository.writer(identity, { signal });
  const files = [await putFile(writer, [1])];
  await later(world, 0);
  assert.equal((await entryOf(world, 1))?.deleted, true, 'nobody could know');
  await putSnapshot(repository, writer, { path: '/racing', files, nowMs: world.clock.nowMs() });
  await writer.finish();
  await new Checker(world.store, world.opened.format).check();
  await later(world, 5);
  assert.equal((await entryOf(world, 1))?.deleted, false, 'the next collection takes the mark off');
  for (let n = 0; n < 6; n++) await later(world, 13);
  assert.equal(await entryOf(world, 2), undefined);
});

test('maintenance > a backup stores again what is marked as deleted', async () => {
  await using world = await openWorld({ seed: 4 });
  await deleteSnapshot(world, await backup(world, [[1]]));
  await later(world, 25);
  const marked = await entryOf(world, 1);
  await backup(world, [[1]]);
  const again = await entryOf(world, 1);
  assert.equal(marked?.deleted, true);
  assert.equal(again?.deleted, false);
  assert.notEqual(again?.packBlob, marked?.packBlob);
});

test('maintenance > a backup that takes longer than a day keeps what its checkpoints name', async () => {
  await using world = await openWorld({ seed: 5 });
  await using repository = await world.open('slow');
  await using writer = await repository.writer(identity, { signal });
  const files: ObjectId[] = [];
  let id: Awaited<ReturnType<typeof putSnapshot>> | undefined;
  for (let n = 0; n < 60; n++) {
    files.push(await putFile(writer, [n]));
    const incomplete = n === 59 ? undefined : 'checkpoint';
    id = await putSnapshot(repository, writer, { path: '/slow', files, nowMs: world.clock.nowMs(), incomplete, id });
    await writer.flush();
    if (n % 7 === 6) await later(world, 0);
    world.clock.advance(0.66 * hourMs);
    await repository.index.refresh({ signal });
  }
  await writer.finish();
  for (let n = 0; n < 4; n++) await later(world, 20);
  const [snapshot] = await new Checker(world.store, world.opened.format).check();
  assert.equal(snapshot?.incomplete, undefined);
  for (let n = 0; n < 60; n++) assert.equal((await entryOf(world, n))?.deleted, false, `file ${n}`);
});

test('maintenance > a pack that no index names stays for a day, and with its session for four', async () => {
  await using world = await openWorld({ seed: 6 });
  await backup(world, [[1]]);
  const codec = new ContentCodec(world.opened.format);
  const alive = 's0123456789abcdef141';
  const marker = encodeSessionMarker(codec, { sessionId: alive, nowMs: world.clock.nowMs(), ...identity });
  await world.store.put(marker.id, marker.bytes, { signal });
  const [lost, kept] = [blobId(`p${'0'.repeat(32)}-sffffffffffffffff141`), blobId(`q${'1'.repeat(32)}-${alive}`)];
  for (const pack of [lost, kept]) await world.store.put(pack, Buffer.alloc(99), { signal });
  await later(world, 22);
  assert.ok((await list(world)).includes(lost));
  await later(world, 24);
  assert.ok(!(await list(world)).includes(lost));
  assert.ok((await list(world)).includes(kept));
  await later(world, 48);
  assert.ok((await list(world)).includes(kept), 'heard of 94 hours ago');
  await later(world, 3);
  assert.ok(!(await list(world)).includes(kept));
  assert.ok(!(await list(world)).includes(marker.id));
});

test('maintenance > a damaged session marker ends it before any pack is removed', async () => {
  await using world = await openWorld({ seed: 7 });
  const lost = blobId(`p${'0'.repeat(32)}-sffffffffffffffff141`);
  await world.store.put(lost, Buffer.alloc(99), { signal });
  await world.store.put(blobId(`s${'a'.repeat(64)}-s0123456789abcdef141`), Buffer.alloc(50), { signal });
  await maintainWorld(world);
  world.clock.advance(30 * hourMs);
  await assert.rejects(maintainWorld(world), { code: 'corrupt' });
  assert.ok((await list(world)).includes(lost));
});

test('maintenance > a snapshot that cannot be walked ends it before any content is marked', async () => {
  await using world = await openWorld({ seed: 8 });
  await deleteSnapshot(world, await backup(world, [[1]], '/gone'));
  const before = new Set(await list(world, 'q'));
  await backup(world, [[7, 8]], '/damaged');
  const added = (await list(world, 'q')).filter((blob) => !before.has(blob));
  world.clock.advance(30 * hourMs);
  const { packBlob } = [...(await new Checker(world.store, world.opened.format).entries()).values()].find(
    ({ contentId, packBlob: pack }) => contentId.startsWith('x') && added.includes(pack),
  )!;
  const whole = await world.store.get(packBlob, { signal });
  await world.store.put(
    packBlob,
    whole.map((byte, at) => (at > 40 ? byte ^ 1 : byte)),
    { signal },
  );
  await assert.rejects(maintainWorld(world), (error: { code?: string }) => error.code === 'corrupt');
  assert.equal((await entryOf(world, 1))?.deleted, false);
});

test('maintenance > only the owner may run it; anybody may look', async () => {
  await using world = await openWorld({ seed: 9 });
  const { maintain } = await import('../../src/maintenance/maintain.ts');
  await using repository = await world.open('stranger');
  const parts = { repository, clock: world.clock, rng: world.rng, folder: `${world.folder}/stranger` };
  const stranger = { ...parts, identity: { userName: 'other', host: 'there' } };
  const request = { mode: 'full', onTask: () => undefined, onWarning: () => undefined, signal } as const;
  await assert.rejects(maintain(stranger, { ...request, dryRun: false }), {
    code: 'maintenance-owner',
    message: 'its maintenance is owned by keeper@here, and this is other@there',
  });
  assert.equal((await maintain(stranger, { ...request, dryRun: true })).mode, 'full');
});

test('maintenance > one at a time on a machine', async () => {
  await using world = await openWorld({ seed: 10 });
  const { lockMaintenance } = await import('../../src/maintenance/maintenance-lock.ts');
  {
    await using _other = await lockMaintenance(`${world.folder}/maintainer-maintenance`);
    await assert.rejects(maintainWorld(world), { code: 'maintenance-running' });
  }
  assert.equal((await maintainWorld(world)).mode, 'full');
});

test('maintenance > clocks that differ by more than five minutes end it, whichever is ahead', async () => {
  await using world = await openWorld({ seed: 11 });
  const shifted = (byMs: number): BlobStore =>
    new Proxy(world.store, {
      get: (store, name) => {
        const value = Reflect.get(store, name, store) as unknown;
        if (name === 'stat')
          return async (id: BlobId): Promise<BlobMetadata> => {
            const found = await store.stat(id, { signal });
            return { ...found, timestampMs: found.timestampMs + byMs };
          };
        return typeof value === 'function' ? (value.bind(store) as unknown) : value;
      },
    });
  for (const minutes of [-5.01, 5.01]) {
    await assert.rejects(maintainWorld(world, { store: shifted(minutes * 60_000) }), { code: 'maintenance-clock' });
  }
  assert.equal((await maintainWorld(world, { store: shifted(5 * 60_000) })).mode, 'full');
});

test('maintenance > runs what is due, and says until when nothing is', async () => {
  await using world = await openWorld({ seed: 12 });
  const modes: string[] = [];
  for (let n = 0; n < 4; n++) {
    modes.push((await maintainWorld(world, { mode: 'auto' })).mode);
    world.clock.advance(0.6 * hourMs);
  }
  assert.deepEqual(modes, ['full', 'none', 'quick', 'none']);
  world.clock.advance(24 * hourMs);
  assert.equal((await maintainWorld(world, { mode: 'auto' })).mode, 'full');
});

test('maintenance > a dry run writes nothing, and tells what the run then does', async () => {
  await using world = await openWorld({ seed: 13 });
  await backup(world, [[1]], '/stays');
  await deleteSnapshot(world, await backup(world, [[2], [3]], '/goes'));
  for (const hours of [25, 5, 25, 25]) {
    world.clock.advance(hours * hourMs);
    const before = await contentOfStore(world);
    const planned = await maintainWorld(world, { dryRun: true });
    assert.deepEqual(await contentOfStore(world), before);
    const done = await maintainWorld(world);
    const told = ({ tasks }: MaintenanceResult): unknown =>
      tasks
        // A deletion watermark that the run itself replaces goes with it.
        .filter(({ task }) => task !== 'cleanup-epoch-markers')
        .map(({ task, state, removed, marked }) => [task, state === 'skipped', removed?.count, marked?.count]);
    assert.deepEqual(told(planned), told(done));
  }
});

async function contentOfStore({ store }: World): Promise<unknown> {
  const blobs = await Array.fromAsync(store.list('', { signal }));
  return await Promise.all(
    blobs.map(async (blob) => ({
      ...blob,
      bytes: Buffer.from(await store.get(blob.id, { signal })).toString('base64'),
    })),
  );
}

test('maintenance > removes on a store that is full, and goes on when that has made room', async () => {
  await using world = await openWorld({ seed: 14 });
  await backup(world, [[1]]);
  const lost = blobId(`p${'0'.repeat(32)}-sffffffffffffffff141`);
  await world.store.put(lost, Buffer.alloc(5000), { signal });
  world.clock.advance(30 * hourMs);
  const full = new FullStore(world.store, lost);
  const warnings: string[] = [];
  const onWarning = (text: string): void => void warnings.push(text);
  const result = await maintainWorld(world, { store: full.through(world), onWarning });
  assert.ok(!(await list(world)).includes(lost));
  assert.equal(stateOf(result, 'snapshot-gc'), 'done');
  assert.match(warnings[0] ?? '', /full/);
});

test('maintenance > removes on a store that stays full, and says that it is', async () => {
  await using world = await openWorld({ seed: 15 });
  const lost = blobId(`p${'0'.repeat(32)}-sffffffffffffffff141`);
  await world.store.put(lost, Buffer.alloc(5000), { signal });
  world.clock.advance(30 * hourMs);
  const rule: FaultRule = {
    operations: ['put', 'upload'],
    when: { from: 1 },
    fault: { kind: 'fail', code: 'blob-no-space' },
  };
  const store = new FaultStore({ store: world.store, clock: world.clock }, { seed: 1, rules: [rule] });
  await assert.rejects(maintainWorld(world, { store }), { code: 'blob-no-space' });
  assert.ok(!(await list(world)).includes(lost));
});

test('maintenance > that contents were moved must stand in the history, or nothing is removed', async () => {
  await using world = await openWorld({ seed: 18 });
  await backup(world, [[1]], '/one');
  await backup(world, [[2]], '/two');
  await world.store.put(blobId(`p${'0'.repeat(32)}-sffffffffffffffff141`), Buffer.alloc(5000), { signal });
  world.clock.advance(30 * hourMs);
  const before = await list(world, 'p');
  // The first is the schedule, the second the collection.
  const fault = { kind: 'fail', code: 'blob-no-space' } as const;
  const rule: FaultRule = { operations: ['put'], prefix: 'kopia.maintenance', when: { nth: 3 }, fault };
  const store = new FaultStore({ store: world.store, clock: world.clock }, { seed: 1, rules: [rule] });
  await assert.rejects(maintainWorld(world, { store }), { code: 'blob-no-space' });
  const after = await list(world, 'p');
  assert.equal(after.length, before.length + 1, 'the copies are there');
  assert.ok(before.every((pack) => after.includes(pack)));
});

/** Full for as long as one blob is there. */
class FullStore {
  readonly #store: BlobStore;
  readonly #until: BlobId;

  constructor(store: BlobStore, until: BlobId) {
    this.#store = store;
    this.#until = until;
  }

  through({ clock }: World): BlobStore {
    const rule: FaultRule = {
      operations: ['put', 'upload'],
      when: { from: 1 },
      fault: { kind: 'fail', code: 'blob-no-space' },
    };
    const full = new FaultStore({ store: this.#store, clock }, { seed: 1, rules: [rule] });
    let isFull = true;
    return new Proxy(this.#store, {
      get: (store, name) => {
        const target = isFull && (name === 'put' || name === 'upload') ? full : store;
        const value = Reflect.get(target, name, target) as unknown;
        if (name === 'remove')
          return async (id: BlobId): Promise<void> => {
            await store.remove(id, { signal });
            if (id === this.#until) isFull = false;
          };
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
  }
}

for (const code of ['blob-denied', 'blob-locked'] as const) {
  test(`maintenance > what the store will not let go (${code}) is told, and the rest goes`, async () => {
    await using world = await openWorld({ seed: 16 });
    const blobs = ['0', '1', '2'].map((digit) => blobId(`p${digit.repeat(32)}-sffffffffffffffff141`));
    for (const blob of blobs) await world.store.put(blob, Buffer.alloc(10), { signal });
    await maintainWorld(world);
    world.clock.advance(30 * hourMs);
    const fault = { kind: 'fail', code } as const;
    const rule: FaultRule = { operations: ['remove'], prefix: 'p1', when: { from: 1 }, fault };
    const store = new FaultStore({ store: world.store, clock: world.clock }, { seed: 1, rules: [rule] });
    const { tasks } = await maintainWorld(world, { store });
    const report = tasks.find(({ task }) => task === 'full-delete-blobs');
    assert.equal(report?.refused?.count, 1);
    assert.equal(report?.removed?.count, 2);
    assert.deepEqual(await list(world, 'p'), [blobs[1]]);
  });
}
