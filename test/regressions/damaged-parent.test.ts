/**
 * A backup whose parent is damaged: the new snapshot was made and the command failed all the same, because it counted
 * what had changed since the parent.
 */
import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { openBlobStore } from '../../src/blobs/open-blob-store.ts';
import { Repository } from '../../src/repository/repository.ts';
import { systemClock as clock } from '../../src/std/clock.ts';
import { systemRng as rng } from '../../src/std/rng.ts';
import { drayJson, runDray, type BackupPrinted, type DrayPlace } from '../support/run-dray.ts';
import { memoryFolder } from '../support/temporary.ts';
import { changeVolume, firstDifference, writeVolume } from '../support/volume-model.ts';

const { signal } = new AbortController();

/** Flips a byte in every list of the repository. */
async function damageLists({ repository: path, password, cache }: DrayPlace): Promise<void> {
  const store = await openBlobStore({ kind: 'directory', path }, { signal, clock, rng });
  await using repository = await Repository.open({ store, clock, rng }, { password, cacheDirectory: cache, signal });
  for (const { packBlob, packOffset } of repository.index.entries({ prefix: 'x' })) {
    const [a, b] = [packBlob.slice(0, 1), packBlob.slice(1, 4)];
    await using file = await open(join(path, a, b, `${packBlob.slice(4)}.f`), 'r+');
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, packOffset + 20);
    await file.write(Buffer.from([byte[0]! ^ 1]), 0, 1, packOffset + 20);
  }
}

test('a backup does not need its parent to be whole', async () => {
  await using folder = await memoryFolder('damaged-parent');
  const place = { repository: join(folder.path, 'r'), cache: join(folder.path, 'c'), password: 'secret' };
  const [image, target] = [join(folder.path, 'image'), join(folder.path, 'target')];
  const sizeBytes = 3_000_000;
  await writeVolume(image, { sizeBytes, pieces: [{ offset: 0, lengthBytes: sizeBytes, kind: 'random', seed: 1 }] });
  await drayJson(place, ['repository', 'create']);
  await drayJson<BackupPrinted>(place, ['backup', image]);
  await damageLists(place);
  await changeVolume(image, { sizeBytes, pieces: [{ offset: 5, lengthBytes: 10, kind: 'random', seed: 2 }] });
  const second = await runDray(place, ['backup', image, '-o', 'name']);
  assert.equal(second.exitCode, 0, second.stderr);
  assert.match(second.stderr, /parent/);
  await drayJson(place, ['restore', second.stdout.trim(), target]);
  assert.equal(await firstDifference(image, target), undefined);
});
