/** Restores over a volume that end when the new content is in its place, and the old one is not gone yet. */
import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemRng } from '../../src/std/rng.ts';
import { run } from '../kernel/loop-device.ts';
import { fileSystemsMissing } from '../support/file-system.ts';
import { imageOf, withVolume } from './pool-place.ts';
import { writeAt } from './small-pool.ts';

const mib = 1024 * 1024;

test(
  'a restore over a volume > that is cut off when the old content is out does not put it back when it is run again',
  { skip: fileSystemsMissing('xfs', 'ext4') },
  async () => {
    await using world = await withVolume();
    const { dray, told, place, folder } = world;
    await told('repository', 'create');
    const source = join(folder, 'source.img');
    await writeFile(source, systemRng.bytes(8 * mib));
    const id = (await told('backup', source, '-o', 'name')).trim();
    const live = join(place.pool, 'volumes', 'data', 'live', 'image');
    await writeAt(live, 0, systemRng.bytes(mib));
    const old = await imageOf(world, 'data/live');

    // The command ends where it gives the blocks of the old content back.
    run('chattr', '+i', live);
    assert.equal((await dray('restore', id, 'data', '--overwrite')).exitCode, 1);
    const restored = await imageOf(world, 'data/live');
    assert(!restored.equals(old), 'the new content is in its place');
    const staging = join(place.pool, 'staging');
    const [left] = await readdir(staging);
    run('chattr', '-i', join(staging, left ?? '', 'live', 'image'));

    await told('restore', id, 'data', '--overwrite');
    assert((await imageOf(world, 'data/live')).equals(restored));
    assert.deepEqual(await readdir(staging), []);
  },
);
