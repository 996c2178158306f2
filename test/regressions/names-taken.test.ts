/**
 * What stands where a restore writes: a file of the user's own named TARGET.partial was emptied, and a link to nothing
 * was noticed only when all had been restored.
 */
import assert from 'node:assert/strict';
import { readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { drayJson, runDray, type BackupPrinted } from '../support/run-dray.ts';
import { memoryFolder } from '../support/temporary.ts';
import { firstDifference, writeVolume } from '../support/volume-model.ts';

test("a restore takes no name that is somebody's, unless it is told to", async () => {
  await using folder = await memoryFolder('names-taken');
  const place = { repository: join(folder.path, 'r'), cache: join(folder.path, 'c'), password: 'secret' };
  const [image, target, link] = [join(folder.path, 'i'), join(folder.path, 't'), join(folder.path, 'l')] as const;
  await writeVolume(image, { sizeBytes: 70_000, pieces: [{ offset: 0, lengthBytes: 60_000, kind: 'text', seed: 1 }] });
  await drayJson(place, ['repository', 'create']);
  const { snapshot } = await drayJson<BackupPrinted>(place, ['backup', image]);

  await writeFile(`${target}.partial`, 'precious');
  const refused = await runDray(place, ['restore', snapshot, target]);
  assert.notEqual(refused.exitCode, 0);
  assert.match(refused.stderr, /t\.partial is in the way/);
  assert.equal(await readFile(`${target}.partial`, 'utf8'), 'precious');

  // An unfinished restore, of whatever snapshot, is told by its state file.
  await writeFile(`${target}.partial.state`, '{}');
  await drayJson(place, ['restore', snapshot, target]);
  assert.equal(await firstDifference(image, target), undefined);

  await symlink('nowhere', link);
  const dangling = await runDray(place, ['restore', snapshot, link]);
  assert.notEqual(dangling.exitCode, 0);
  assert.match(dangling.stderr, /link to nothing/);
  await assert.rejects(readFile(`${link}.partial`), { code: 'ENOENT' });
  await drayJson(place, ['restore', snapshot, link, '--overwrite']);
  assert.equal(await firstDifference(image, link), undefined);
});
