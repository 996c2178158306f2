/** `dray store check`: a user's own folder, as it should be, and one that cannot be written to. */
import assert from 'node:assert/strict';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

import { runDray } from '../support/run-dray.ts';
import { temporaryFolder } from '../support/temporary.ts';

interface Checked {
  readonly kept: boolean;
  readonly promises: readonly { readonly promise: string; readonly kept: boolean }[];
}

test('a folder keeps every promise, and what was in it is all that is in it afterwards', async () => {
  await using folder = await temporaryFolder('store-check');
  const path = join(folder.path, 'store');
  await mkdir(path);
  await writeFile(join(path, 'mine'), 'untouched');
  const place = { repository: path, cache: join(folder.path, 'cache'), password: '' };
  const checked = await runDray(place, ['store', 'check', '-o', 'json']);
  assert.equal(checked.exitCode, 0, checked.stderr);
  const { kept, promises } = JSON.parse(checked.stdout) as Checked;
  assert.ok(kept && promises.length > 12 && promises.every((promise) => promise.kept));
  assert.deepEqual(await readdir(path), ['mine']);
  const text = await runDray(place, ['store', 'check']);
  assert.match(text.stdout, new RegExp(`${promises.length} of ${promises.length} promises are kept`));
});

test('what is no store is told as such', async () => {
  await using folder = await temporaryFolder('store-check');
  const place = { repository: join(folder.path, 'nowhere'), cache: join(folder.path, 'cache'), password: '' };
  const checked = await runDray(place, ['store', 'check']);
  assert.notEqual(checked.exitCode, 0);
  assert.match(checked.stderr, /nowhere/);
  assert.deepEqual(await readdir(folder.path), []);
});
