/** The moments of a restore in which its file has got its name and all else is still to be cleared away. */
import assert from 'node:assert/strict';
import { link, open, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { backupFile, createEngine, restoreFile } from '../support/engine.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { firstDifference, writeVolume } from '../support/volume-model.ts';

test('kill -9 of a restore between its two names: the finished file is not written to by the next restore', async () => {
  await using folder = await temporaryFolder('twin');
  const engine = await createEngine(folder.path);
  const sizeBytes = 300_000;
  const sources = [1, 2].map((seed) => ({ seed, path: join(folder.path, `volume-${seed}`) }));
  const snapshots: string[] = [];
  for (const { seed, path } of sources) {
    await writeVolume(path, { sizeBytes, pieces: [{ offset: 0, lengthBytes: sizeBytes, kind: 'random', seed }] });
    snapshots.push((await backupFile(engine, path)).snapshot);
  }
  const target = join(folder.path, 'target.img');
  await restoreFile(engine, snapshots[0]!, target);
  await link(target, `${target}.partial`);
  const inUse = join(folder.path, 'in-use.img');
  await link(target, inUse);
  await using reader = await open(target);
  await restoreFile(engine, snapshots[1]!, target, { overwrite: true });
  assert.equal((await reader.stat()).size, sizeBytes);
  assert.equal(await firstDifference(sources[0]!.path, inUse), undefined, 'the file in use was changed');
  assert.equal(await firstDifference(sources[1]!.path, target), undefined);
  assert.deepEqual(
    (await readdir(folder.path)).filter((name) => name.includes('.partial')),
    [],
  );
});

test('kill -9 of a restore that has just named its file: a later one in place leaves nothing beside it', async () => {
  await using folder = await temporaryFolder('named');
  const engine = await createEngine(folder.path);
  const source = join(folder.path, 'volume');
  const sizeBytes = 300_000;
  await writeVolume(source, { sizeBytes, pieces: [{ offset: 0, lengthBytes: sizeBytes, kind: 'random', seed: 1 }] });
  const { snapshot } = await backupFile(engine, source);
  const target = join(folder.path, 'target.img');
  await restoreFile(engine, snapshot, target);
  const { dev, ino, birthtimeNs } = await stat(target, { bigint: true });
  const ours = {
    version: 1,
    snapshot,
    object: 'k00',
    sizeBytes,
    file: `${dev}:${ino}:${birthtimeNs}`,
    watermark: 4096,
  };
  await writeFile(`${target}.partial.state`, JSON.stringify(ours));
  await restoreFile(engine, snapshot, target, { delta: true });
  await assert.rejects(stat(`${target}.partial.state`), { code: 'ENOENT' });
  // The record of another restore to this name that goes on some day is not ours to forget.
  await writeFile(`${target}.partial.state`, JSON.stringify({ ...ours, file: '1:2:3' }));
  await restoreFile(engine, snapshot, target, { delta: true });
  await stat(`${target}.partial.state`);
});
