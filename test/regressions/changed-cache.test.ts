/**
 * A disk that changes a cached index table after it was opened made whole contents look missing: restore and verify
 * called the repository damaged. And what was damaged once and whole the second time was not told at all.
 */
import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { hashOf } from '../../src/repository/content/content-id.ts';
import { listSnapshots, resolveSnapshot } from '../../src/repository/manifest/snapshot.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { systemClock as clock } from '../../src/std/clock.ts';
import { systemRng as rng } from '../../src/std/rng.ts';
import { openVolumeSnapshot } from '../../src/transfer/backup-parent.ts';
import { confirmDamage } from '../../src/transfer/confirm-damage.ts';
import { restore } from '../../src/transfer/restore.ts';
import { verify } from '../../src/transfer/verify.ts';
import { backupFile, createEngine, withRepository, type Engine } from '../support/engine.ts';
import { memoryFolder } from '../support/temporary.ts';
import { writeVolume } from '../support/volume-model.ts';

const signal = AbortSignal.timeout(300_000);
const mib = 1024 * 1024;

interface World extends AsyncDisposable {
  readonly engine: Engine;
  readonly folder: string;
  readonly snapshot: string;
}

async function makeWorld(): Promise<World> {
  const folder = await memoryFolder('changed-cache');
  const image = join(folder.path, 'image');
  const pieces = [{ offset: 0, lengthBytes: 8 * mib, kind: 'random', seed: 1 }] as const;
  await writeVolume(image, { sizeBytes: 8 * mib, pieces });
  const engine = await createEngine(folder.path);
  const { snapshot } = await backupFile(engine, image);
  return { engine, folder: folder.path, snapshot, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

/** Changes the key of one content of data in every cached table that has it, in place. */
async function changeCache({ engine }: World, { index }: Repository): Promise<void> {
  const [content] = [...index.entries({ prefix: '' })];
  assert.ok(content !== undefined);
  const hash = Buffer.from(hashOf(content.contentId));
  let changed = 0;
  for (const name of await readdir(engine.cache, { recursive: true })) {
    if (!name.endsWith('.index')) continue;
    const path = join(engine.cache, name);
    const bytes = await readFile(path);
    const at = bytes.indexOf(hash);
    if (at < 0) continue;
    bytes.writeUInt8(bytes.readUInt8(at + 15) ^ 1, at + 15);
    await writeFile(path, bytes, { flag: 'r+' });
    changed++;
  }
  assert.ok(changed > 0, 'no cached table has the content');
}

describe('a cached table that changes while it is open', () => {
  test('is what a restore names, not the repository', async () => {
    await using world = await makeWorld();
    const { engine, folder, snapshot } = world;
    const restoring = withRepository(engine, async (repository) => {
      const set = await repository.manifests.load({ signal });
      const volume = await openVolumeSnapshot(repository, resolveSnapshot(set, snapshot), { signal });
      await changeCache(world, repository);
      const how = { overwrite: false, delta: false, force: false, parallel: 1, stateDirectory: join(folder, 'state') };
      const where = { target: join(folder, 'target'), store: { kind: 'directory', path: engine.path } } as const;
      await restore({ repository, clock, rng }, { ...how, ...where, volume, onProgress: () => undefined, signal });
    });
    await assert.rejects(restoring, (error) => hasCode(error, 'index-cache'));
  });

  test('is what a verification names, not the repository', async () => {
    await using world = await makeWorld();
    const verifying = withRepository(world.engine, async (repository) => {
      const { snapshots } = listSnapshots(await repository.manifests.load({ signal }));
      await changeCache(world, repository);
      const how = { onlyThese: false, level: 'index', sample: 1, parallel: 1, rng } as const;
      const store = { kind: 'directory', path: world.engine.path } as const;
      return await verify(repository, { ...how, snapshots, store, onProgress: () => undefined, signal });
    });
    await assert.rejects(verifying, (error) => hasCode(error, 'index-cache'));
  });
});

test('a content that was damaged at the first look and whole at the second is named as wavering', async () => {
  await using world = await makeWorld();
  await withRepository(world.engine, async (repository) => {
    const [content] = [...repository.index.entries({ prefix: '' })];
    const contents = new Map([[content!.contentId, 'the seal is broken']]);
    const suspects = { contents, packs: new Map<string, string>(), snapshots: [], present: true };
    const { problems, wavering } = await confirmDamage(repository, suspects, { signal });
    assert.deepEqual(problems, []);
    assert.deepEqual(wavering, [{ what: `content ${content!.contentId}`, reason: 'the seal is broken' }]);
  });
});
