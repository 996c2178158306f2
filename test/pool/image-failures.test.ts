/** A pool in an image that could not be made leaves nothing, wherever it failed, and is made by the same command later. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmod, mkdir, readdir, rename, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { run } from '../kernel/loop-device.ts';
import { fileSystemsMissing } from '../support/file-system.ts';
import { loopDevices, poolPlace, type PoolPlace } from './pool-place.ts';

interface Failure {
  readonly when: string;
  /** A program that is found before the real one of its name, which is `$real`. */
  readonly program: 'mount' | 'mkfs.xfs';
  readonly script: string;
  readonly exitCode: number;
  readonly said: RegExp;
}

const interrupt = 'kill -INT $PPID; sleep 60';
const interrupted = { exitCode: 130, said: /interrupted/ };
const failures: readonly Failure[] = [
  {
    when: 'no file system can be made',
    program: 'mkfs.xfs',
    script: 'echo no luck >&2; exit 1',
    exitCode: 1,
    said: /no luck/,
  },
  { when: 'Ctrl-C comes while it is made', program: 'mkfs.xfs', script: interrupt, ...interrupted },
  {
    when: 'it cannot share blocks',
    program: 'mkfs.xfs',
    script: '"$real" -q -m reflink=0 "$4"',
    exitCode: 1,
    said: /cannot share blocks/,
  },
  {
    when: 'it is not mounted',
    program: 'mount',
    script: 'echo no luck >&2; exit 32',
    exitCode: 1,
    said: /mount .*\n.*no luck/,
  },
  { when: 'Ctrl-C comes before it is mounted', program: 'mount', script: interrupt, ...interrupted },
  {
    when: 'Ctrl-C comes when it is mounted',
    program: 'mount',
    script: `"$real" "$@"; ${interrupt}`,
    ...interrupted,
  },
  {
    when: 'the layout cannot be written',
    program: 'mount',
    script: '"$real" -o ro "$@"',
    exitCode: 1,
    said: /EROFS|read-only/,
  },
];

/** What a failed test leaves mounted keeps no other test from ending. */
function end({ place: { pool } }: PoolPlace, image: string): void {
  spawnSync('umount', [pool]);
  for (const { name, file } of loopDevices()) if (file.startsWith(image)) run('losetup', '-d', name);
}

/** Nothing but an empty folder. */
async function assertNothingLeft({ place: { pool } }: PoolPlace, image: string): Promise<void> {
  assert.deepEqual(await readdir(pool), []);
  assert.equal((await stat(pool)).dev, (await stat(dirname(pool))).dev, 'it is still mounted');
  assert.deepEqual(
    loopDevices().filter(({ file }) => file.startsWith(image)),
    [],
  );
  assert.equal(await stat(image).catch(() => undefined), undefined, 'the image is left');
}

describe('a pool in an image that cannot be made', { skip: fileSystemsMissing('xfs', 'ext4') }, () => {
  test('leaves nothing, whatever failed, and can be made later', async () => {
    await using world = await poolPlace('ext4');
    const { dray, told, folder } = world;
    const image = join(folder, 'pool.img');
    await using stack = new AsyncDisposableStack();
    stack.defer(() => end(world, image));
    const create = ['pool', 'create', '--image', image, '--size', '320M'];
    const programs = join(folder, 'programs');
    await mkdir(programs);
    const path = process.env['PATH'] ?? '';
    stack.defer(() => void (process.env['PATH'] = path));
    for (const { when, program, script, exitCode, said } of failures) {
      const real = run('which', program).trim();
      await writeFile(join(programs, program), `#!/bin/bash\nreal=${real}\n${script}\n`);
      await chmod(join(programs, program), 0o755);
      process.env['PATH'] = `${programs}:${path}`;
      const ended = await dray(...create);
      process.env['PATH'] = path;
      run('rm', join(programs, program));
      assert.equal(ended.exitCode, exitCode, `${when}: ${ended.stderr}`);
      assert.match(ended.stderr, said, when);
      await assertNothingLeft(world, image);
    }
    await told(...create);
  });

  test('leaves nothing where its folder cannot be written to, nor an image of a size that no file has', async () => {
    await using world = await poolPlace('ext4');
    const { dray, place, folder } = world;
    const onExt4 = join(dirname(place.pool), 'pool.img');
    const huge = await dray('pool', 'create', '--image', onExt4, '--size', '32T');
    assert.equal(huge.exitCode, 1);
    assert.match(huge.stderr, /EFBIG/);
    await assertNothingLeft(world, onExt4);
    const image = join(folder, 'pool.img');
    run('mount', '--bind', place.pool, place.pool);
    try {
      run('mount', '-o', 'remount,bind,ro', place.pool);
      const { exitCode, stderr } = await dray('pool', 'create', '--image', image, '--size', '320M');
      assert.equal(exitCode, 1);
      assert.match(stderr, /write .*dray-pool-image/);
      await assertNothingLeft(world, image);
    } finally {
      run('umount', place.pool);
    }
  });

  test('and one that is opened, are not kept from it by what a killed one has left of the mark of its image', async () => {
    await using world = await poolPlace('ext4');
    const { told, place, folder } = world;
    const [image, moved] = [join(folder, 'pool.img'), join(folder, 'pool.img.moved')];
    await using stack = new AsyncDisposableStack();
    stack.defer(() => end(world, image));
    await mkdir(place.pool);
    const leave = async (): Promise<void> =>
      await writeFile(join(place.pool, '.dray-pool-image.tmp.0123456789abcdef'), '/tm');
    await leave();
    await told('pool', 'create', '--image', image, '--size', '320M');
    await told('volume', 'create', 'data', '--size', '8M');
    end(world, image);
    assert.deepEqual(await readdir(place.pool), ['.dray-pool-image']);

    await leave();
    await told('pool', 'open');
    assert.equal(await told('volume', 'list', '-o', 'name'), 'data\n');
    end(world, image);
    await rename(image, moved);
    await told('pool', 'open', '--image', moved);
    assert.equal(await told('volume', 'list', '-o', 'name'), 'data\n');
    end(world, image);
    assert.deepEqual(await readdir(place.pool), ['.dray-pool-image']);
  });

  test('does not take a file that was there', async () => {
    await using world = await poolPlace('ext4');
    const image = join(world.folder, 'pool.img');
    await writeFile(image, 'mine');
    const { exitCode, stderr } = await world.dray('pool', 'create', '--image', image, '--size', '320M');
    assert.equal(exitCode, 1);
    assert.match(stderr, /a file .*pool\.img already\n {2}next: .*remove the image, and run it again/);
    assert.equal((await stat(image)).size, 4);
  });
});
