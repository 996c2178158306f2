/**
 * With `--parent auto`, a newest snapshot that was damaged at its root, or that was not the image of one volume, made
 * every later backup of its source fail. Only speed needs a parent, so such a run reads everything and says why.
 */
import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { encodeDirectory } from '../../src/repository/manifest/directory.ts';
import { encodeSnapshot, listSnapshots } from '../../src/repository/manifest/snapshot.ts';
import { directObjectId } from '../../src/repository/object/object-id.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { backupFile, createEngine, restoreFile, withRepository, type Engine } from '../support/engine.ts';
import { memoryFolder } from '../support/temporary.ts';
import { changeVolume, firstDifference, writeVolume } from '../support/volume-model.ts';

const { signal } = new AbortController();
const mib = 1024 * 1024;

/** Flips a byte of every content with this prefix: `k` are directories, `x` lists. */
async function damage(engine: Engine, prefix: 'k' | 'x'): Promise<void> {
  await withRepository(engine, async ({ index }) => {
    for (const { packBlob, packOffset } of index.entries({ prefix })) {
      const path = join(engine.path, packBlob.slice(0, 1), packBlob.slice(1, 4), `${packBlob.slice(4)}.f`);
      await using file = await open(path, 'r+');
      const byte = Buffer.alloc(1);
      await file.read(byte, 0, 1, packOffset + 20);
      await file.write(Buffer.of(byte[0]! ^ 1), 0, 1, packOffset + 20);
    }
  });
}

/** Makes the only snapshot one of two files. */
async function twoFiles(engine: Engine): Promise<void> {
  await withRepository(engine, async (repository) => {
    const set = await repository.manifests.load({ signal });
    const snapshot = listSnapshots(set).snapshots[0]!;
    await using writer = await repository.writer({ userName: 'tester', host: 'here' }, { signal });
    const entry = { ...snapshot.rootEntry, type: 'f', summary: undefined };
    const entries = ['a', 'b'].map((name) => ({ ...entry, name }));
    const object = directObjectId(await writer.write('k', encodeDirectory({ entries })));
    const rootEntry = { ...snapshot.rootEntry, object };
    set.put({ ...encodeSnapshot({ ...snapshot, rootEntry }), id: snapshot.id });
    await repository.manifests.save(set, writer);
    await writer.finish();
  });
}

const spoil = {
  'whose directory is damaged': { work: async (engine: Engine) => await damage(engine, 'k'), why: /damaged: / },
  'whose list is damaged': { work: async (engine: Engine) => await damage(engine, 'x'), why: /damaged: / },
  'of several files': { work: twoFiles, why: /not the image of one volume/ },
} as const;

for (const [which, { work, why }] of Object.entries(spoil)) {
  test(`a newest snapshot ${which} is no parent, and no reason to fail`, async () => {
    await using folder = await memoryFolder('unusable-parent');
    const engine = await createEngine(folder.path);
    const [image, target] = [join(folder.path, 'image'), join(folder.path, 'target')];
    const sizeBytes = 3 * mib + 7;
    await writeVolume(image, { sizeBytes, pieces: [{ offset: 0, lengthBytes: sizeBytes, kind: 'random', seed: 1 }] });
    const { snapshot: first } = await backupFile(engine, image);
    await work(engine);

    const strict = backupFile(engine, image, { strict: true, trustMtime: true });
    await assert.rejects(strict, (error) => hasCode(error, 'degraded') && why.test(error.message));
    if (which !== 'whose list is damaged') {
      await assert.rejects(backupFile(engine, image, { parent: { snapshot: first } }), 'one that was named must serve');
    }

    // Otherwise its list would have the id of the damaged one, and be taken for stored.
    await changeVolume(image, { sizeBytes, pieces: [{ offset: mib, lengthBytes: 9, kind: 'random', seed: 2 }] });
    const warnings: string[] = [];
    const onWarning = (text: string): void => void warnings.push(text);
    const second = await backupFile(engine, image, { trustMtime: true, onWarning });
    assert.equal(second.changes.rung, 'scan');
    assert.match(second.changes.reason, why);
    assert.deepEqual(warnings, [second.changes.reason]);
    assert.equal(second.parent, undefined);
    await restoreFile(engine, second.snapshot, target);
    assert.equal(await firstDifference(image, target), undefined);
    assert.equal((await backupFile(engine, image)).parent, second.snapshot, 'the next one has a parent again');
  });
}
