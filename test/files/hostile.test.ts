/** Repositories and folders that somebody made to have a restore write where it must not, or to hurt it. */
import assert from 'node:assert/strict';
import { renameSync, symlinkSync } from 'node:fs';
import { link, lstat, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import fc from 'fast-check';

import type { DirEntry } from '../../src/repository/manifest/dir-entry.ts';
import { encodeIndirect } from '../../src/repository/object/indirect.ts';
import { directObjectId, indirectObjectId, objectId } from '../../src/repository/object/object-id.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { entryNameFault } from '../../src/volume/entry-name.ts';
import { createEngine, type Engine } from '../support/engine.ts';
import { temporaryFolder, type TemporaryFolder } from '../support/temporary.ts';
import { readDisk } from './read-disk.ts';
import { entry, file, folder, linkTo, putTree, restoreTree } from './tree-engine.ts';

describe('a restore of files', () => {
  let place: TemporaryFolder;
  let engine: Engine;
  let outside = '';
  let targets = 0;

  before(async () => {
    place = await temporaryFolder('hostile');
    engine = await createEngine(place.path);
    outside = join(place.path, 'outside');
    await mkdir(outside);
    await writeFile(join(outside, 'secret'), 'untouched');
  });
  after(async () => await place[Symbol.asyncDispose]());

  /** A target in a folder of its own, in which nothing else may appear. */
  async function newTarget(): Promise<string> {
    targets += 1;
    const parent = join(place.path, `targets-${targets}`);
    await mkdir(parent);
    return join(parent, 'target');
  }

  async function assertNothingOutside(target: string): Promise<void> {
    assert.deepEqual(await readdir(outside), ['secret']);
    assert.equal(await readFile(join(outside, 'secret'), 'utf8'), 'untouched');
    assert.deepEqual(await readdir(join(target, '..')), ['target']);
  }

  test('makes nothing under names that lead elsewhere, and everything else', async () => {
    const bad = ['', '.', '..', '../up', join(outside, 'absolute'), 'a/b', 'a\0b', 'x'.repeat(256), '../target/in'];
    const id = await putTree(engine, async (writer) => [
      ...(await Promise.all(bad.map(async (name) => await file(writer, name, 'bad')))),
      ...(await Promise.all(bad.map(async (name) => await folder(writer, name, [await file(writer, 'f', 'bad')])))),
      ...(await Promise.all(bad.map(async (name) => await linkTo(writer, name, outside)))),
      await file(writer, 'good', 'good'),
    ]);
    const target = await newTarget();
    const { counts, omissions } = await restoreTree(engine, id, target);
    assert.equal(counts.omitted, bad.length * 3);
    assert.ok(omissions.every(({ cause }) => cause === 'damaged'));
    assert.deepEqual(await readdir(target), ['good']);
    await assertNothingOutside(target);
  });

  test('never writes through a link of the snapshot that a folder or file of the same name follows', async () => {
    const id = await putTree(engine, async (writer) => [
      await linkTo(writer, 'a', outside),
      await folder(writer, 'a', [await file(writer, 'planted', 'bad')]),
      await linkTo(writer, 'b', join(outside, 'secret')),
      await file(writer, 'b', 'bad'),
      await file(writer, 'c', 'first'),
      await file(writer, 'c', 'second'),
    ]);
    const target = await newTarget();
    const { omissions } = await restoreTree(engine, id, target);
    assert.deepEqual(omissions.map(({ path }) => path).toSorted(), ['a', 'b', 'c']);
    assert.ok(omissions.every(({ reason }) => reason.includes('twice')));
    await assertNothingOutside(target);
  });

  test('writes where its folder is when the folder is swapped for a link on the way, and into no link', async () => {
    const id = await putTree(engine, async (writer) => [
      await folder(writer, 'a', [await file(writer, 'f', 'mine'), await file(writer, '..', 'stop here')]),
      await folder(writer, 'b', [await file(writer, 'g', 'mine')]),
    ]);
    const target = await newTarget();
    const { omissions } = await restoreTree(engine, id, target, {
      // Called while the folder `a` is open and its file has not been made.
      onOmission({ path }) {
        if (path !== 'a/..') return;
        renameSync(join(target, 'a'), join(target, 'moved'));
        symlinkSync(outside, join(target, 'a'));
        symlinkSync(outside, join(target, 'b'));
      },
    });
    assert.deepEqual(
      omissions.map(({ path, cause }) => [path, cause]),
      [
        ['a/..', 'damaged'],
        ['b/', 'refused'],
      ],
    );
    assert.equal(await readFile(join(target, 'moved', 'f'), 'utf8'), 'mine');
    await assertNothingOutside(target);
  });

  test('over a folder replaces links, soft and hard, and leaves what they lead to alone', async () => {
    const id = await putTree(engine, async (writer) => [
      await folder(writer, 'sub', [await file(writer, 'secret', 'restored')]),
      await file(writer, 'hard', 'restored'),
      await file(writer, 'soft', 'restored'),
      await file(writer, 'pipe', 'restored'),
      await linkTo(writer, 'link', 'somewhere'),
    ]);
    const target = await newTarget();
    await mkdir(target);
    await symlink(outside, join(target, 'sub'));
    await symlink(join(outside, 'secret'), join(target, 'soft'));
    await link(join(outside, 'secret'), join(target, 'hard'));
    await writeFile(join(target, 'link'), 'in the way');
    await writeFile(join(target, 'other'), 'stays');
    await assert.rejects(restoreTree(engine, id, target), (error) => hasCode(error, 'volume-exists'));
    const { counts } = await restoreTree(engine, id, target, { overwrite: true });
    assert.equal(counts.omitted, 0);
    const found = await readDisk(target);
    assert.deepEqual([...found.keys()].toSorted(), ['.', 'hard', 'link', 'other', 'pipe', 'soft', 'sub', 'sub/secret']);
    assert.equal(found.get('link')?.target, 'somewhere');
    await assertNothingOutside(target);
  });

  test('leaves out what the repository lies about, takes no memory for it, and restores the rest', async () => {
    const huge = 2 ** 50;
    const id = await putTree(engine, async (writer) => {
      const good = await file(writer, 'good', 'good');
      const list = async (entries: Parameters<typeof encodeIndirect>[0]): Promise<ReturnType<typeof objectId>> =>
        indirectObjectId(directObjectId(await writer.write('x', encodeIndirect(entries))));
      const long = await list([{ offset: 0, lengthBytes: huge, objectId: good.object }]);
      const large = await list([{ offset: 0, lengthBytes: 2 ** 33, objectId: good.object }]);
      const short = await list([{ offset: 0, lengthBytes: 4, objectId: good.object }]);
      let deep: DirEntry = await folder(writer, 'd', []);
      for (let depth = 0; depth < 1005; depth++) deep = await folder(writer, 'd', [deep]);
      return [
        good,
        entry('a', good.object, { sizeBytes: huge }),
        entry('b', good.object, { sizeBytes: 3 }),
        entry('c', long, { sizeBytes: huge }),
        entry('n', large, { sizeBytes: 2 ** 33 }),
        entry('e', short, { sizeBytes: 5 }),
        entry('f', objectId('00'.repeat(32)), { sizeBytes: 4 }),
        entry('g', objectId(`Z${good.object}`), { sizeBytes: 4 }),
        entry('h', objectId(`k${'00'.repeat(32)}`), { type: 'd' }),
        entry('i', good.object, { type: 'd' }),
        await linkTo(writer, 'j', 'x'.repeat(4096)),
        await linkTo(writer, 'k', ''),
        await linkTo(writer, 'l', 'nul\0inside'),
        entry('m', good.object, { type: 'x' }),
        deep,
      ];
    });
    const target = await newTarget();
    const { omissions } = await restoreTree(engine, id, target);
    const named = omissions.map(({ path, cause }) => [path.length > 100 ? 'deep' : path, cause] as const);
    const damaged = ['a', 'b', 'deep', 'e', 'f', 'g', 'h/', 'i/', 'j', 'k', 'l', 'n'];
    // `c` is larger than the file system takes.
    assert.deepEqual(Object.fromEntries(named), {
      ...Object.fromEntries(damaged.map((path) => [path, 'damaged'])),
      c: 'refused',
      m: 'kind',
    });
    assert.equal(await readFile(join(target, 'good'), 'utf8'), 'good');
    assert.deepEqual((await readdir(target)).toSorted(), ['d', 'good', 'h', 'i']);
    await assertNothingOutside(target);
  });

  test('of any tree of such names ends with nothing outside and only proper names inside', async () => {
    const name = fc.oneof(
      fc.constantFrom('..', '.', '', '/', '../..', 'a', 'b', 'a/../..', '\uFFFD', '\ud800', 'a\0'),
      fc.string({ unit: fc.constantFrom('.', '/', 'a', '\\', '\n'), maxLength: 5 }),
    );
    const { tree } = fc.letrec<{ tree: Shape; node: Shape }>((tie) => ({
      tree: fc.record({ kind: fc.constant('d' as const), name, inner: fc.array(tie('node'), { maxLength: 4 }) }),
      node: fc.oneof(
        { depthSize: 'small' },
        fc.record({ kind: fc.constantFrom('f' as const, 's' as const), name, inner: fc.constant([]) }),
        tie('tree'),
      ),
    }));
    await fc.assert(
      fc.asyncProperty(fc.array(tree, { maxLength: 4 }), async (shapes) => {
        const build = async (writer: Parameters<typeof file>[0], shape: Shape): Promise<DirEntry> => {
          if (shape.kind === 'f') return await file(writer, shape.name, 'text');
          if (shape.kind === 's') return await linkTo(writer, shape.name, outside);
          const inner = await Promise.all(shape.inner.map(async (one) => await build(writer, one)));
          return await folder(writer, shape.name, inner);
        };
        const id = await putTree(
          engine,
          async (writer) => await Promise.all(shapes.map(async (shape) => await build(writer, shape))),
        );
        const target = await newTarget();
        await restoreTree(engine, id, target);
        for (const path of (await readDisk(target)).keys()) {
          assert.ok(path === '.' || path.split('/').every((one) => entryNameFault(one) === undefined));
        }
        await assertNothingOutside(target);
      }),
      { numRuns: 15 },
    );
    assert.ok((await lstat(outside)).isDirectory());
  });
});

interface Shape {
  readonly kind: 'd' | 'f' | 's';
  readonly name: string;
  readonly inner: readonly Shape[];
}
