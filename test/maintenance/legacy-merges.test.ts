/** Merging the index of a repository without epochs: what is merged into what, while others are at work and the store resists. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { BlobId, BlobMetadata, BlobStore } from '../../src/blobs/blob-store.ts';
import { FaultStore, type FaultRule } from '../../src/blobs/fault.ts';
import { compactLegacy, dropFromLegacy } from '../../src/maintenance/compact-legacy.ts';
import { ContentCodec } from '../../src/repository/content/content-codec.ts';
import type { ContentId } from '../../src/repository/content/content-id.ts';
import { encodeIndex } from '../../src/repository/index/encode-index.ts';
import type { IndexEntry } from '../../src/repository/index/index-entry.ts';
import { LegacyBlobs } from '../../src/repository/index/legacy-blobs.ts';
import { readLegacyView } from '../../src/repository/index/legacy-view.ts';
import { nanosecondsFromMs, nanosecondsPerSecond, type Nanoseconds } from '../../src/std/go-time.ts';
import { Checker } from './checker.ts';
import { crossedStore } from './crossed-store.ts';
import { areGone, areThere, backups, deletedStates, list, withContext } from './legacy-world.ts';
import { backup, chunk, hourMs, openWorld, type World } from './world.ts';

const signal = new AbortController().signal;
const minuteMs = 60_000;

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

test('without epochs > a long index is merged into several blobs, and those that are large are left alone', async () => {
  await using world = await openWorld({ seed: 81, format: 'legacy' });
  const { store, opened } = world;
  const packBytes = 600;
  const merge = async (): Promise<void> => {
    await withContext(world, { client: 'merging' }, async (context) => {
      const format = { ...opened.format, maxPackSizeBytes: packBytes };
      // The same repository, in which a full pack is short.
      const repository = new Proxy(context.repository, {
        get: (target, name) => {
          return name === 'opened' ? { ...opened, format } : (Reflect.get(target, name, target) as unknown);
        },
      });
      return await compactLegacy({ ...context, repository });
    });
  };
  const active = async (): Promise<readonly BlobMetadata[]> => {
    const { active: ids, blobs } = await readLegacyView({ store, codec: new ContentCodec(opened.format) }, { signal });
    return ids.map((id) => blobs.get(id)!);
  };
  await backups(world, 9);
  const before = await deletedStates(world);
  await merge();
  assert.equal((await deletedStates(world)).size, before.size);
  const first = await active();
  const large = first.filter(({ lengthBytes }) => lengthBytes > packBytes).map(({ id }) => id);
  assert.ok(first.length > 1 && large.length >= first.length - 1, `${large.length} of ${first.length} are large`);
  await backups(world, 9);
  await merge();
  const second = new Set((await active()).map(({ id }) => id));
  assert.ok(large.every((id) => second.has(id)));
  assert.ok((await active()).length > first.length);
  await new Checker(store, opened.format).check();
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
