/** Restores into a pool that were interrupted: named, left to go on, and removed only when that is said, by the real program. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { systemRng } from '../../src/std/rng.ts';
import { fileSystemsMissing } from '../support/file-system.ts';
import { startDray } from '../support/run-dray.ts';
import { withVolume } from './pool-place.ts';

interface Restore {
  readonly folder: string;
  readonly volume: string;
  readonly snapshot: string;
  readonly uniqueBytes: number;
  readonly written: string;
  readonly running: boolean;
  readonly removed?: boolean;
}

interface Printed {
  readonly restores: readonly Restore[];
}

const mib = 1024 * 1024;

test(
  'unfinished restores > are named, go on, and go when that is said, but not while they run',
  { skip: fileSystemsMissing('xfs', 'ext4') },
  async () => {
    await using world = await withVolume();
    const { told, json, place, folder } = world;
    await told('repository', 'create');
    const source = join(folder, 'source.img');
    await writeFile(source, systemRng.bytes(16 * mib));
    const id = (await told('backup', source, '-o', 'name')).trim();
    const staging = join(place.pool, 'staging');
    const partial = join(staging, `restore-data-2-${id.slice(0, 16)}`, 'live', 'image.partial');

    const run = startDray(place, ['restore', id, 'data-2', '--rate-limit', '1K']);
    try {
      while (!existsSync(partial)) await pause(5);
      const { restores } = await json<Printed>('pool', 'check', '--remove-unfinished');
      assert.deepEqual(
        restores.map(({ volume, snapshot, running, removed }) => ({ volume, snapshot, running, removed })),
        [{ volume: 'data-2', snapshot: id.slice(0, 16), running: true, removed: false }],
      );
      assert(existsSync(partial), 'the folder of a restore that runs');
    } finally {
      run.signal('SIGKILL');
      await run.ended;
    }
    await writeFile(partial, Buffer.alloc(3 * mib, 1));

    const [named] = (await json<Printed>('pool', 'status')).restores;
    assert.deepEqual([named?.volume, named?.running], ['data-2', false]);
    assert((named?.uniqueBytes ?? 0) >= 3 * mib, `${named?.uniqueBytes} bytes`);
    assert(Math.abs(Date.now() - Date.parse(named?.written ?? '')) < 10 * 60_000, String(named?.written));
    for (const args of [['status'], ['check'], ['check', '--dry-run']]) {
      const said = await told('pool', ...args);
      assert.match(said, /restore of [0-9a-f]{16} to volume data-2, .*MiB, last written .* ago: run it again/);
      assert.match(said, /"dray pool check --remove-unfinished"/);
    }
    assert.match(await told('pool', 'check', '--remove-unfinished', '--dry-run'), /ago: would be removed/);
    assert(existsSync(partial));
    await told('restore', id, 'data-2');
    assert.deepEqual(await readdir(staging), []);

    await mkdir(join(staging, `restore-data-3-${id.slice(0, 16)}`, 'live'), { recursive: true });
    const { restores } = await json<Printed>('pool', 'check', '--remove-unfinished');
    assert.deepEqual(
      restores.map(({ volume, removed }) => ({ volume, removed })),
      [{ volume: 'data-3', removed: true }],
    );
    assert.deepEqual(await readdir(staging), []);
    assert.equal(await told('volume', 'list', '-o', 'name'), 'data\ndata-2\n');
  },
);
