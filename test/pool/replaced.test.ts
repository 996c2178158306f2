/** Restores over a volume that end when the new content is in its place, and the old one is not gone yet. */
import assert from 'node:assert/strict';
import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { FileLock } from '../../src/kernel/lock-file.ts';
import { restoreName } from '../../src/pool/restore-name.ts';
import { systemClock } from '../../src/std/clock.ts';
import { systemRng } from '../../src/std/rng.ts';
import { run } from '../kernel/loop-device.ts';
import { fileSystemsMissing } from '../support/file-system.ts';
import { runDray } from '../support/run-dray.ts';
import { imageOf, withVolume, type PoolPlace } from './pool-place.ts';
import { writeAt } from './small-pool.ts';

const mib = 1024 * 1024;
const dray = join(import.meta.dirname, '../../bin/dray');

/** It has the system refuse a call. Why it cannot be used here, or false. */
function straceMissing(): string | false {
  return spawnSync('strace', ['-o', '/dev/null', 'true']).status === 0 ? false : 'needs strace';
}

/** Runs a command while a folder cannot be flushed. */
function withoutFlush({ place }: PoolPlace, folder: string, args: readonly string[]): SpawnSyncReturns<string> {
  const inject = ['-f', '-o', '/dev/null', '-P', folder, '-e', 'trace=fsync', '-e', 'inject=fsync:error=EIO'];
  return spawnSync('strace', [...inject, dray, ...args], {
    encoding: 'utf8',
    env: {
      ...process.env,
      DRAY_REPOSITORY: place.repository,
      DRAY_CACHE_DIR: place.cache,
      DRAY_PASSWORD: place.password,
      DRAY_POOL: place.pool,
    },
  });
}

/** Random bytes in a file, and in a repository that is made for it. */
async function storedFile(
  { told, folder }: PoolPlace,
  lengthBytes: number,
): Promise<{ readonly source: string; readonly id: string }> {
  await told('repository', 'create');
  const source = join(folder, 'source.img');
  await writeFile(source, systemRng.bytes(lengthBytes));
  return { source, id: (await told('backup', source, '-o', 'name')).trim() };
}

test(
  'a restore over a volume > that is cut off when the old content is out does not put it back when it is run again',
  { skip: fileSystemsMissing('xfs', 'ext4') },
  async () => {
    await using world = await withVolume();
    const { dray, told, place } = world;
    const { source, id } = await storedFile(world, 8 * mib);
    const live = join(place.pool, 'volumes', 'data', 'live', 'image');
    await writeAt(live, 0, systemRng.bytes(mib));
    const old = await imageOf(world, 'data/live');

    // The command ends where it gives the blocks of the old content back.
    run('chattr', '+i', live);
    assert.equal((await dray('restore', id, 'data', '--overwrite')).exitCode, 1);
    const restored = await imageOf(world, 'data/live');
    assert(!restored.equals(old) && restored.equals(await readFile(source)), 'the new content is not in its place');
    const staging = join(place.pool, 'staging');
    const [left] = await readdir(staging);
    run('chattr', '-i', join(staging, left ?? '', 'live', 'image'));

    await told('restore', id, 'data', '--overwrite');
    assert((await imageOf(world, 'data/live')).equals(restored));
    assert.deepEqual(await readdir(staging), []);
  },
);

test(
  'a restore over a volume > whose last flush fails does not put the old content back when it is run again',
  { skip: fileSystemsMissing('xfs', 'ext4') || straceMissing() },
  async () => {
    await using world = await withVolume();
    const { told, place } = world;
    const { source, id } = await storedFile(world, 8 * mib);
    const home = join(place.pool, 'volumes', 'data');

    // The folder of the volume is flushed only when the two have changed places.
    const { status, stderr } = withoutFlush(world, home, ['restore', id, 'data', '--overwrite']);
    assert.equal(status, 1, stderr);
    assert.match(stderr, /EIO/);
    const restored = await imageOf(world, 'data/live');
    assert(restored.subarray(0, 8 * mib).equals(await readFile(source)), 'the new content is in its place');

    await told('restore', id, 'data', '--overwrite');
    assert((await imageOf(world, 'data/live')).equals(restored));
    assert.deepEqual(await readdir(join(place.pool, 'staging')), []);
  },
);

test(
  'a restore over a volume > that cannot be flushed before it takes the place says that it is not done, and goes on when it is run again',
  { skip: fileSystemsMissing('xfs', 'ext4') || straceMissing() },
  async () => {
    await using world = await withVolume();
    const { told, place } = world;
    const { source, id } = await storedFile(world, 8 * mib);
    const old = await imageOf(world, 'data/live');
    const staging = join(place.pool, 'staging');

    const { status, stderr } = withoutFlush(world, staging, ['restore', id, 'data', '--overwrite']);
    assert.equal(status, 1, stderr);
    assert.match(stderr, /EIO/);
    assert.doesNotMatch(stderr, /need not be done again|is removed/);
    assert((await imageOf(world, 'data/live')).equals(old));
    assert.deepEqual(await readdir(staging), [restoreName({ volume: 'data', snapshot: id })]);

    await told('restore', id, 'data', '--overwrite');
    assert((await imageOf(world, 'data/live')).subarray(0, 8 * mib).equals(await readFile(source)));
    assert.deepEqual(await readdir(staging), []);
  },
);

test(
  'a revert > whose last flush fails says that the volume is reverted, and what it is not yet',
  { skip: fileSystemsMissing('xfs', 'ext4') || straceMissing() },
  async () => {
    await using world = await withVolume();
    const { told, place } = world;
    await told('snapshot', 'create', 'data', '--name', 'mon');
    const home = join(place.pool, 'volumes', 'data');
    const old = await imageOf(world, 'data/snapshots/mon');
    await writeAt(join(home, 'live', 'image'), 0, systemRng.bytes(mib));
    const { status, stderr } = withoutFlush(world, home, ['volume', 'revert', 'data@mon', '--force']);
    assert.equal(status, 1, stderr);
    assert.match(
      stderr,
      /: volume data is reverted, but a loss of power may still undo that\n {2}because: .*EIO.*\n {2}next: It need not be done again/,
    );
    assert((await imageOf(world, 'data/live')).equals(old));
  },
);

test(
  'a snapshot that is deleted > whose last flush fails counts as gone, and the reason is told',
  { skip: fileSystemsMissing('xfs', 'ext4') || straceMissing() },
  async () => {
    await using world = await withVolume();
    const { told, place } = world;
    await told('snapshot', 'create', 'data');
    await told('snapshot', 'create', 'data');
    const home = join(place.pool, 'volumes', 'data', 'snapshots');
    const expire = ['snapshot', 'expire', '--volume', 'data', '--keep-latest', '1', '-o', 'json'];
    const { status, stdout, stderr } = withoutFlush(world, home, expire);
    assert.equal(status, 1, stderr);
    const rows = JSON.parse(stdout) as {
      readonly snapshot: string;
      readonly expired: boolean;
      readonly error?: string;
    }[];
    const gone = rows.filter(({ expired }) => expired);
    assert.deepEqual([rows.length, gone.length], [2, 1]);
    assert.match(gone[0]?.error ?? '', / is removed, but a loss of power may still undo that/);
    const kept = rows.filter(({ expired }) => !expired).map(({ snapshot }) => snapshot);
    assert.deepEqual((await told('snapshot', 'list', '--volume', 'data', '-o', 'name')).trim().split('\n'), kept);
  },
);

test(
  'what takes the place of a volume > brings the size of its sectors, be it restored or reverted to',
  { skip: fileSystemsMissing('xfs', 'ext4') },
  async () => {
    await using world = await withVolume();
    const { told, json, folder } = world;
    const sectors = async (): Promise<unknown> => {
      await told('volume', 'attach', 'data');
      const { sectorBytes } = await json<{ readonly sectorBytes: number }>('volume', 'attach', 'data');
      await told('volume', 'detach', 'data');
      return sectorBytes;
    };
    await told('repository', 'create');
    await told('volume', 'create', 'old', '--size', '16M', '--sector-size', '512');
    const ofVolume = (await told('backup', 'old', '-o', 'name')).trim();
    const source = join(folder, 'source.img');
    await writeFile(source, systemRng.bytes(mib));
    const ofFile = (await told('backup', source, '-o', 'name')).trim();
    await told('snapshot', 'create', 'data', '--name', 'before');

    await told('restore', ofVolume, 'data', '--overwrite');
    assert.equal(await sectors(), 512);
    await told('volume', 'revert', 'data@before', '--force');
    assert.equal(await sectors(), 4096);
    await told('restore', ofFile, 'data', '--overwrite');
    assert.equal(await sectors(), 512);
    await told('restore', ofFile, 'data', '--overwrite', '--sector-size', '4096');
    assert.equal(await sectors(), 4096);
  },
);

test(
  'a restore > to what it cannot be made into makes nothing, and says what is meant',
  { skip: fileSystemsMissing('xfs', 'ext4') },
  async () => {
    await using world = await withVolume();
    const { dray, place, folder } = world;
    const { id } = await storedFile(world, mib);
    const cwd = join(folder, 'here');
    await mkdir(cwd);
    const toSnapshot = await runDray({ ...place, cwd }, ['restore', id, 'data@monday']);
    assert.equal(toSnapshot.exitCode, 2);
    assert.match(toSnapshot.stderr, /"data@monday" names a snapshot.*\.\/data@monday/);
    for (const folder of ['data/', './data/', 'new/']) {
      const toFolder = await runDray({ ...place, cwd }, ['restore', id, folder]);
      assert.equal(toFolder.exitCode, 2);
      assert.match(toFolder.stderr, /names a folder; an image becomes a file, .*: leave the slash at its end out/);
    }
    assert.deepEqual(await readdir(cwd), []);

    const begun = join(place.pool, 'staging', restoreName({ volume: 'new', snapshot: id }));
    await mkdir(begun);
    const signal = AbortSignal.timeout(300_000);
    using _other = await FileLock.take(begun, {
      mode: 'exclusive',
      waitMs: 0,
      create: false,
      clock: systemClock,
      signal,
    });
    const { exitCode, stderr } = await dray('restore', id, 'new');
    assert.equal(exitCode, 5);
    assert.match(stderr, /another restore to volume new is under way\n.*\n.*Wait until it has ended/);
  },
);
