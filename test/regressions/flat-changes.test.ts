/** With `--layout flat`, the audit of a change list took the parent's list for a tree and called it corrupt. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { drayJson, type BackupPrinted } from '../support/run-dray.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { changeVolume, firstDifference, writeVolume } from '../support/volume-model.ts';

test('a change list serves in the flat layout, padded tail and audit included', async () => {
  await using folder = await temporaryFolder('flat-changes');
  const place = { repository: join(folder.path, 'r'), cache: join(folder.path, 'c'), password: 'secret' };
  const [image, list, target] = ['image', 'list', 'target'].map((name) => join(folder.path, name)) as [
    string,
    string,
    string,
  ];
  const sizeBytes = 5 * 1024 * 1024 + 4711;
  await writeVolume(image, { sizeBytes, pieces: [{ offset: 0, lengthBytes: sizeBytes, kind: 'random', seed: 1 }] });
  await drayJson(place, ['repository', 'create']);
  const first = await drayJson<BackupPrinted>(place, ['backup', image, '--layout', 'flat']);
  await changeVolume(image, { sizeBytes, pieces: [{ offset: 3_000_000, lengthBytes: 10, kind: 'random', seed: 2 }] });
  await writeFile(list, JSON.stringify({ parent: first.snapshot, extents: [{ offset: 3_000_000, length: 10 }] }));
  const second = await drayJson<BackupPrinted>(place, ['backup', image, '--layout', 'flat', '--changes', list]);
  assert.equal(second.rung, 'list');
  assert.equal(second.readBytes, 1024 * 1024);
  await drayJson(place, ['restore', second.snapshot, target]);
  assert.equal(await firstDifference(image, target), undefined);
});
