/** Where files go by the command line: into folders that are there or not, and never into the repository. */
import assert from 'node:assert/strict';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { createEngine, type Engine } from '../support/engine.ts';
import { runDray, type DrayEnded } from '../support/run-dray.ts';
import { temporaryFolder, type TemporaryFolder } from '../support/temporary.ts';
import { file, folder, linkTo, putTree } from './tree-engine.ts';

describe('a restore of files', () => {
  let place: TemporaryFolder;
  let engine: Engine;
  let id = '';
  const dray = async (...args: string[]): Promise<DrayEnded> =>
    await runDray({ repository: engine.path, cache: engine.cache, password: 'password' }, args);

  before(async () => {
    place = await temporaryFolder('targets');
    engine = await createEngine(place.path);
    id = await putTree(engine, async (writer) => [
      await file(writer, 'small', 'hello'),
      await folder(writer, 'sub', [await linkTo(writer, 'link', '../small')]),
    ]);
  });
  after(async () => await place[Symbol.asyncDispose]());

  test('puts one file into a folder under its own name, and makes the folder', async () => {
    const there = join(place.path, 'there');
    await mkdir(there);
    for (const target of [there, `${place.path}/new/`]) {
      const ended = await dray('restore', `${id}/small`, target);
      assert.equal(ended.exitCode, 0, ended.stderr);
      assert.equal(await readFile(join(target, 'small'), 'utf8'), 'hello');
    }
    const planned = await dray('restore', `${id}/small`, `${place.path}/planned/`, '--dry-run');
    assert.equal(planned.exitCode, 0, planned.stderr);
    assert.equal((await readdir(place.path)).includes('planned'), false);
  });

  test('says when no file is what was asked for', async () => {
    const ended = await dray('restore', id, join(place.path, 'none'), '--include', 'nosuch*');
    assert.equal(ended.exitCode, 3);
    assert.match(ended.stderr, /--include/);
    const link = await dray('restore', `${id}/sub/link`, join(place.path, 'link'));
    assert.match(link.stderr, /restored with its folder/);
  });

  test('never goes into the repository that it comes from', async () => {
    for (const target of [engine.path, join(engine.path, 'inside')]) {
      const before = await readdir(engine.path);
      const ended = await dray('restore', id, target, '--overwrite');
      assert.equal(ended.exitCode, 2, ended.stderr);
      assert.match(ended.stderr, /lies in the repository/);
      assert.deepEqual(await readdir(engine.path), before);
    }
  });
});
