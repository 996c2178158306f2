/** A restore with `--overwrite` wrote through a symbolic link named TARGET.partial, to whatever file it led to. */
import assert from 'node:assert/strict';
import { readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { drayJson, runDray, type BackupPrinted } from '../support/run-dray.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { firstDifference, writeVolume } from '../support/volume-model.ts';

test('a restore does not write through a link in the place of its unfinished file', async () => {
  await using folder = await temporaryFolder('linked-partial');
  const place = { repository: join(folder.path, 'r'), cache: join(folder.path, 'c'), password: 'secret' };
  const [image, target, precious] = [join(folder.path, 'i'), join(folder.path, 't'), join(folder.path, 'p')] as const;
  await writeVolume(image, { sizeBytes: 70_000, pieces: [{ offset: 0, lengthBytes: 60_000, kind: 'text', seed: 1 }] });
  await drayJson(place, ['repository', 'create']);
  const { snapshot } = await drayJson<BackupPrinted>(place, ['backup', image]);
  await writeFile(precious, 'precious');

  await symlink(precious, `${target}.partial`);
  const refused = await runDray(place, ['restore', snapshot, target, '--overwrite']);
  assert.notEqual(refused.exitCode, 0);
  assert.match(refused.stderr, /t\.partial is a symbolic link/);
  assert.equal(await readFile(precious, 'utf8'), 'precious');
  await rm(`${target}.partial`);

  // A target that is itself a link is the user's own way to name a file: --delta writes what it leads to.
  await symlink(precious, target);
  await drayJson(place, ['restore', snapshot, target, '--delta']);
  assert.equal(await firstDifference(image, precious), undefined);
});
