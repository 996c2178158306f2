/** A pool, and a repository, whose quota is used up while their disk has room. */
import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { restoreName } from '../../src/pool/restore-name.ts';
import { systemRng } from '../../src/std/rng.ts';
import { run } from '../kernel/loop-device.ts';
import { fileSystemsMissing } from '../support/file-system.ts';
import { runDray } from '../support/run-dray.ts';
import { imageOf, poolPlace } from './pool-place.ts';

const mib = 1024 * 1024;
const isUsedUp = /because: EDQUOT: the quota is used up, .*\n {2}next: A quota is used up, whatever room the disk has/;

test(
  'a quota > that is used up is told as such by a restore, which goes on when there is more, and by a backup',
  { skip: fileSystemsMissing('btrfs') },
  async () => {
    await using world = await poolPlace('btrfs');
    const { dray, told, place, folder } = world;
    const disk = dirname(place.pool);
    const limit = (size: string): void => {
      run('sync', '-f', disk);
      run('btrfs', 'qgroup', 'limit', size, disk);
    };
    run('btrfs', 'quota', 'enable', disk);
    await told('pool', 'create', place.pool);
    await told('repository', 'create');
    const source = join(folder, 'source.img');
    await writeFile(source, systemRng.bytes(24 * mib));
    const id = (await told('backup', source, '-o', 'name')).trim();

    limit('12M');
    const stopped = await dray('restore', id, 'data');
    assert.equal(stopped.exitCode, 1);
    assert.match(stopped.stderr, isUsedUp);
    // Now that not even a folder can be made.
    const other = await dray('restore', id, 'other');
    assert.equal(other.exitCode, 1);
    assert.match(other.stderr, isUsedUp);
    assert.deepEqual(
      (await readdir(join(place.pool, 'staging'))).filter(
        (name) => name !== restoreName({ volume: 'other', snapshot: id }),
      ),
      [restoreName({ volume: 'data', snapshot: id })],
    );
    limit('none');
    await told('restore', id, 'data');
    assert((await imageOf(world, 'data/live')).equals(await readFile(source)));

    const repository = join(disk, 'repository');
    await mkdir(repository);
    const there = { ...place, repository };
    assert.equal((await runDray(there, ['repository', 'create'])).exitCode, 0);
    limit('30M');
    const backup = await runDray(there, ['backup', source]);
    assert.equal(backup.exitCode, 1);
    assert.match(backup.stderr, isUsedUp);
    limit('none');
    assert.equal((await runDray(there, ['backup', source])).exitCode, 0);
    assert.equal((await runDray(there, ['repository', 'verify', '--level', 'data'])).exitCode, 0);
  },
);
