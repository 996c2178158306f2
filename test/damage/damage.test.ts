/** Samples of what `npm run test:damage` does with every byte. */
import assert from 'node:assert/strict';
import { open, rm, stat, truncate, copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { exitCodeOf, exitCodes } from '../../src/cli/shell/exit-code.ts';
import { problemsOf, restoreFile } from '../support/engine.ts';
import { runDray } from '../support/run-dray.ts';
import { memoryFolder, type TemporaryFolder } from '../support/temporary.ts';
import { digestOf, makeDamageWorld, withFlips, type DamageWorld, type PackMap } from './damage-world.ts';
import { flipBystanders, flipFormat, flipPacks, flipWhatOpens } from './flip-bytes.ts';
import { readFile } from 'node:fs/promises';

describe('a repository with a damaged byte', () => {
  let folder: TemporaryFolder;
  let world: DamageWorld;

  before(async () => {
    folder = await memoryFolder('damage');
    world = await makeDamageWorld(folder.path);
  });
  after(async () => await folder[Symbol.asyncDispose]());

  test('in a pack: verify names it, restore refuses what it held and gives all else; padding means nothing', async (t) => {
    t.diagnostic(`${await flipPacks(world, 'sample')} bytes`);
  });

  test('in an index blob or a manifest: nothing is opened, and the message names it', async (t) => {
    t.diagnostic(`${await flipWhatOpens(world, 'sample')} bytes`);
  });

  test('in a session marker or the maintenance schedule: verify names it, and everything can be restored', async (t) => {
    t.diagnostic(`${await flipBystanders(world, 'sample')} bytes`);
  });

  test('in the format blobs: it is refused, or it was only for information', async (t) => {
    t.diagnostic(JSON.stringify(await flipFormat(world, 'sample')));
  });

  test('gives no target: a restore through the worker threads ends with 4', async () => {
    for (const pack of world.packs.filter(({ blob }) => blob.startsWith('p')).slice(0, 5)) {
      const last = pack.contents.toSorted((a, b) => a.offset - b.offset).at(-1)!;
      const flip = { blob: pack.blob, offset: last.offset + last.lengthBytes - 1, mask: 1 };
      const target = join(folder.path, 'damaged.img');
      await withFlips(world, [flip], async () => {
        const attempt = restoreFile(fresh(), pack.snapshot, target);
        await assert.rejects(attempt, (error) => exitCodeOf(error) === exitCodes.damaged);
        await assert.rejects(stat(target), { code: 'ENOENT' });
      });
      // Undamaged again, the same command goes on and is equal.
      await restoreFile(fresh(), pack.snapshot, target);
      assert.equal(digestOf(await readFile(target)), world.digests.get(pack.snapshot));
      await rm(target);
    }
  });

  test('on the command line: 4 and the place, or 0 where it means nothing', async () => {
    const place = { repository: world.engine.path, cache: join(folder.path, 'command'), password: 'password' };
    const pack = largest(world.packs);
    const target = join(folder.path, 'command.img');
    const { offset } = pack.contents[0]!;
    await withFlips(world, [{ blob: pack.blob, offset, mask: 255 }], async () => {
      const verified = await runDray(place, ['repository', 'verify', '--level', 'data']);
      assert.equal(verified.exitCode, exitCodes.damaged);
      assert.match(verified.stdout, new RegExp(`Damaged .*${pack.snapshot} .* \\d+\\+1048576`));
      const restored = await runDray(place, ['restore', pack.snapshot, target]);
      assert.equal(restored.exitCode, exitCodes.damaged);
      assert.match(restored.stderr, /fetch 1048576 bytes at \d+ of the volume/);
      assert.match(restored.stderr, /next: "dray repository verify --level data" names every damaged snapshot/);
      await assert.rejects(stat(target), { code: 'ENOENT' });
    });
    await withFlips(world, [{ blob: pack.blob, offset: 7, mask: 255 }], async () => {
      assert.equal((await runDray(place, ['repository', 'verify', '--level', 'data'])).exitCode, 0);
      assert.equal((await runDray(place, ['restore', pack.snapshot, target])).exitCode, 0);
      assert.equal(digestOf(await readFile(target)), world.digests.get(pack.snapshot));
    });
  });

  test('or without its last byte, or without a pack at all: verify names it, restore refuses', async () => {
    const pack = largest(world.packs);
    const file = world.files.get(pack.blob)!;
    const kept = join(folder.path, 'kept');
    const target = join(folder.path, 'missing.img');
    await copyFile(file, kept);
    await truncate(file, pack.lengthBytes - 1);
    assert.match((await problemsOf(fresh())).join('\n'), new RegExp(pack.blob));
    await rm(file);
    assert.match((await problemsOf(fresh())).join('\n'), new RegExp(`${pack.snapshot} at 0: .*missing`));
    const refused = (error: unknown): boolean => exitCodeOf(error) === exitCodes.damaged;
    await assert.rejects(restoreFile(fresh(), pack.snapshot, target), refused);
    await assert.rejects(open(target), { code: 'ENOENT' });
    await copyFile(kept, file);
    assert.deepEqual(await problemsOf(fresh()), []);
  });

  function fresh(): DamageWorld['engine'] {
    return { ...world.engine, cache: join(folder.path, `fresh-${++openings}`) };
  }
});

let openings = 0;

function largest(packs: readonly PackMap[]): PackMap {
  return packs.toSorted((a, b) => b.lengthBytes - a.lengthBytes)[0]!;
}
