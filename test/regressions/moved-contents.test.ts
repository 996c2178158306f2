/**
 * Maintenance of another client moves contents into new packs and removes the old ones while a repository is open here:
 * a restore or a verification that met this called healthy data damaged.
 */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { blobId, type BlobId } from '../../src/blobs/blob-store.ts';
import { newSessionId } from '../../src/repository/content/session.ts';
import type { IndexEntry } from '../../src/repository/index/index-entry.ts';
import { listSnapshots, resolveSnapshot } from '../../src/repository/manifest/snapshot.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { systemClock as clock } from '../../src/std/clock.ts';
import { systemRng as rng } from '../../src/std/rng.ts';
import { openVolumeSnapshot } from '../../src/transfer/backup-parent.ts';
import { restore, type RestoreRequest } from '../../src/transfer/restore.ts';
import { verify, type VerifyLevel, type VerifyResult } from '../../src/transfer/verify.ts';
import { backupFile, createEngine, deleteSnapshots, withRepository, type Engine } from '../support/engine.ts';
import { memoryFolder } from '../support/temporary.ts';
import { firstDifference, writeVolume } from '../support/volume-model.ts';

const signal = AbortSignal.timeout(300_000);
const mib = 1024 * 1024;

/** Gives every pack another name, as if its contents had been rewritten, and an index that says so. */
async function moveContents(engine: Engine): Promise<void> {
  const elsewhere = { ...engine, cache: `${engine.cache}-of-maintenance` };
  await withRepository(elsewhere, async ({ index, store }) => {
    const moved = new Map<BlobId, BlobId>();
    const entries: IndexEntry[] = [];
    for (const entry of index.entries()) {
      if (!moved.has(entry.packBlob)) moved.set(entry.packBlob, newPackName(entry.packBlob));
      const packBlob = moved.get(entry.packBlob)!;
      entries.push({ ...entry, packBlob, timestampSeconds: entry.timestampSeconds + 1 });
    }
    for (const [from, to] of moved) await store.put(to, await store.get(from, { signal }), { signal });
    await index.flush(entries, { sessionId: newSessionId({ rng, nowMs: clock.nowMs() }), signal });
    for (const from of moved.keys()) await store.remove(from, { signal });
  });
}

function newPackName(like: BlobId): BlobId {
  const [, session] = like.split('-');
  return blobId(`${like.slice(0, 1)}${Buffer.from(rng.bytes(16)).toString('hex')}-${session}`);
}

/** Removes every pack of data; no index knows of it. */
async function removePacks(engine: Engine): Promise<void> {
  await withRepository(engine, async ({ index, store }) => {
    const packs = new Set([...index.entries({ prefix: '' })].map(({ packBlob }) => packBlob));
    for (const pack of packs) await store.remove(pack, { signal });
  });
}

interface World extends AsyncDisposable {
  readonly engine: Engine;
  readonly image: string;
  readonly target: string;
  readonly snapshot: string;
}

async function makeWorld(): Promise<World> {
  const folder = await memoryFolder('moved-contents');
  const [image, target] = [join(folder.path, 'image'), join(folder.path, 'target')];
  const sizeBytes = 48 * mib + 77;
  await writeVolume(image, { sizeBytes, pieces: [{ offset: 5, lengthBytes: sizeBytes, kind: 'random', seed: 1 }] });
  const engine = await createEngine(folder.path);
  const { snapshot } = await backupFile(engine, image);
  return { engine, image, target, snapshot, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

/** Restores with an index that was loaded before `meanwhile` ran. */
async function restoreAfter(
  { engine, target, snapshot }: World,
  meanwhile: (repository: Repository) => Promise<void>,
  options: Partial<RestoreRequest> = {},
): Promise<void> {
  await withRepository(engine, async (repository) => {
    const set = await repository.manifests.load({ signal });
    const volume = await openVolumeSnapshot(repository, resolveSnapshot(set, snapshot), { signal });
    await meanwhile(repository);
    const request: RestoreRequest = {
      volume,
      target,
      overwrite: false,
      delta: false,
      force: false,
      parallel: 2,
      store: { kind: 'directory', path: engine.path },
      stateDirectory: `${engine.cache}-restores`,
      onProgress: () => undefined,
      signal,
      ...options,
    };
    await restore({ repository, clock, rng }, request);
  });
}

describe('a restore whose contents are moved by others meanwhile', () => {
  test('finds them again, all tasks by one look at the index', async () => {
    await using world = await makeWorld();
    const opened = await countedRefreshes(world);
    assert.equal(await firstDifference(world.image, world.target), undefined);
    // One for the tasks that are out together; another if some came back when it had begun; and the list's own.
    assert.ok(opened >= 1 && opened <= 4, `${opened} times`);
  });

  test('finds them again when it only writes what differs', async () => {
    await using world = await makeWorld();
    await writeVolume(world.target, { sizeBytes: 3, pieces: [{ offset: 0, lengthBytes: 3, kind: 'text', seed: 9 }] });
    await restoreAfter(world, async () => await moveContents(world.engine), { delta: true });
    assert.equal(await firstDifference(world.image, world.target), undefined);
  });

  test('calls it damage when they are nowhere, and leaves nothing under the name', async () => {
    await using world = await makeWorld();
    const restoring = restoreAfter(world, async () => await removePacks(world.engine));
    await assert.rejects(restoring, (error) => hasCode(error, 'corrupt') && /fetch \d+ bytes at/.test(error.message));
    const left = await readdir(join(world.target, '..'));
    assert.ok(!left.includes('target'), left.join());
  });

  test('ends when it is interrupted while it looks', async () => {
    await using world = await makeWorld();
    const stop = new AbortController();
    const restoring = restoreAfter(
      world,
      async ({ index }) => {
        await moveContents(world.engine);
        const refresh = index.refresh.bind(index);
        index.refresh = async (options) => {
          stop.abort(new Error('that is enough'));
          await refresh(options);
        };
      },
      { signal: stop.signal },
    );
    await assert.rejects(restoring, /that is enough/);
  });
});

async function countedRefreshes(world: World): Promise<number> {
  let refreshes = 0;
  await restoreAfter(world, async ({ index }) => {
    await moveContents(world.engine);
    const refresh = index.refresh.bind(index);
    index.refresh = async (options) => {
      refreshes++;
      await refresh(options);
    };
  });
  return refreshes;
}

/** Verifies with an index and snapshots that were loaded before `meanwhile` ran. */
async function verifyAfter(
  { engine }: World,
  level: VerifyLevel,
  meanwhile: () => Promise<void>,
): Promise<VerifyResult> {
  return await withRepository(engine, async (repository) => {
    const { snapshots } = listSnapshots(await repository.manifests.load({ signal }));
    await meanwhile();
    return await verify(repository, {
      snapshots,
      onlyThese: false,
      level,
      sample: 1,
      store: { kind: 'directory', path: engine.path },
      parallel: 2,
      rng,
      onProgress: () => undefined,
      signal,
    });
  });
}

/** Deletes all snapshots and removes what they were made of, as maintenance does in the end. */
async function deleteAll({ engine, snapshot }: World): Promise<void> {
  await deleteSnapshots(engine, [snapshot]);
  const elsewhere = { ...engine, cache: `${engine.cache}-of-maintenance` };
  await withRepository(elsewhere, async (repository) => {
    const entries = [...repository.index.entries()].filter(({ contentId }) => !contentId.startsWith('m'));
    const kept = new Set([...repository.index.entries({ prefix: 'm' })].map(({ packBlob }) => packBlob));
    await using writer = await repository.writer({ userName: 'tester', host: 'here' }, { signal });
    for (const { contentId } of entries) writer.delete(contentId);
    await writer.finish();
    for (const { packBlob } of entries) if (!kept.has(packBlob)) await repository.store.remove(packBlob, { signal });
  });
}

describe('a verification beside the maintenance of others', () => {
  for (const level of ['index', 'present', 'data'] as const) {
    test(`calls nothing damaged that was moved, at level ${level}`, async () => {
      await using world = await makeWorld();
      const { problems, damaged } = await verifyAfter(world, level, async () => await moveContents(world.engine));
      assert.deepEqual({ problems, damaged }, { problems: [], damaged: [] });
    });

    test(`says nothing of snapshots that were deleted meanwhile, at level ${level}`, async () => {
      await using world = await makeWorld();
      const { problems, damaged } = await verifyAfter(world, level, async () => await deleteAll(world));
      assert.deepEqual({ problems, damaged }, { problems: [], damaged: [] });
    });
  }

  test('names what is gone, the packs and the snapshot', async () => {
    await using world = await makeWorld();
    const { problems, damaged } = await verifyAfter(world, 'data', async () => await removePacks(world.engine));
    assert.ok(problems.some(({ what, reason }) => what.startsWith('pack p') && /missing/.test(reason)));
    assert.ok(damaged.length > 0 && damaged.every(({ snapshot }) => snapshot === world.snapshot));
  });
});
