/** Restores over what is there already, when the repository, or what is there, does not allow it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { encodeIndirect } from '../../src/repository/object/indirect.ts';
import { directObjectId, indirectObjectId, objectId } from '../../src/repository/object/object-id.ts';
import { createEngine, type Engine } from '../support/engine.ts';
import { temporaryFolder, type TemporaryFolder } from '../support/temporary.ts';
import { readDisk } from './read-disk.ts';
import { entry, file, linkTo, putTree, restoreTree } from './tree-engine.ts';

const missing = '00'.repeat(32);

describe('a restore of files over others', () => {
  let place: TemporaryFolder;
  let engine: Engine;

  before(async () => {
    place = await temporaryFolder('damage');
    engine = await createEngine(place.path);
  });
  after(async () => await place[Symbol.asyncDispose]());

  test('leaves a large file that looks whole as it is when the repository has lost its list or its chunks', async () => {
    const target = join(place.path, 'stood');
    const pieces = ['first '.repeat(100), 'second'.repeat(100)];
    const sizeBytes = pieces.join('').length;
    const whole = await putTree(engine, async (writer) => {
      const [a, b] = await Promise.all(pieces.map(async (text) => await writer.write('', Buffer.from(text))));
      const list = [
        { offset: 0, lengthBytes: 600, objectId: directObjectId(a!) },
        { offset: 600, lengthBytes: 600, objectId: directObjectId(b!) },
      ];
      const object = indirectObjectId(directObjectId(await writer.write('x', encodeIndirect(list))));
      return [entry('list', object, { sizeBytes }), entry('chunk', object, { sizeBytes })];
    });
    await restoreTree(engine, whole, target);
    const wanted = await readDisk(target);
    const damaged = await putTree(engine, async (writer) => {
      const first = directObjectId(await writer.write('', Buffer.from(pieces[0]!)));
      const list = [
        { offset: 0, lengthBytes: 600, objectId: first },
        { offset: 600, lengthBytes: 600, objectId: objectId(missing) },
      ];
      const object = indirectObjectId(directObjectId(await writer.write('x', encodeIndirect(list))));
      const noList = indirectObjectId(objectId(`x${missing}`));
      return [entry('list', noList, { sizeBytes }), entry('chunk', object, { sizeBytes })];
    });
    const { omissions } = await restoreTree(engine, damaged, target, { overwrite: true });
    assert.deepEqual(omissions.map(({ path }) => path).toSorted(), ['chunk', 'list']);
    assert.deepEqual(await readDisk(target), wanted);
  });

  test('leaves nothing of its own beside a folder that a file or link cannot replace', async () => {
    const target = join(place.path, 'beside');
    for (const name of ['file', 'link']) await mkdir(join(target, name, 'inner'), { recursive: true });
    const id = await putTree(engine, async (writer) => [
      await file(writer, 'file', 'text'),
      await linkTo(writer, 'link', 'nowhere'),
    ]);
    const { counts } = await restoreTree(engine, id, target, { overwrite: true });
    assert.equal(counts.omitted, 2);
    assert.deepEqual((await readdir(target)).toSorted(), ['file', 'link']);
  });

  test('refuses a pipe as its target instead of waiting for somebody to write to it', async () => {
    const target = join(place.path, 'pipe');
    const program = 'mkfifo';
    execFileSync(program, [target]);
    const id = await putTree(engine, async (writer) => [await file(writer, 'file', 'text')]);
    await assert.rejects(restoreTree(engine, id, target), { code: 'volume-kind' });
  });

  test('gives nobody the right to run a file as whoever restores, when owners are not restored', async () => {
    const target = join(place.path, 'setuid');
    const id = await putTree(engine, async (writer) => [
      { ...(await file(writer, 'file', 'text')), mode: 0o755 | (1 << 23) | (1 << 22), uid: 1000 },
    ]);
    await restoreTree(engine, id, target);
    assert.equal((await stat(join(target, 'file'))).mode & 0o7777, 0o755);
    await writeFile(join(target, 'file'), 'TEXT');
    await restoreTree(engine, id, target, { overwrite: true });
    assert.equal((await stat(join(target, 'file'))).mode & 0o7777, 0o755);
  });
});
