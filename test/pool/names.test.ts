/** Words that may mean a file as well as a volume, and names given twice, with the real program in a folder of its own. */
import assert from 'node:assert/strict';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileSystemsMissing } from '../support/file-system.ts';
import { runDray, type DrayEnded } from '../support/run-dray.ts';
import { withVolume, type PoolPlace } from './pool-place.ts';

const options = { skip: fileSystemsMissing('xfs', 'ext4') };

interface Here {
  readonly here: string;
  /** With `DRAY_POOL`. */
  readonly dray: (...args: readonly string[]) => Promise<DrayEnded>;
  /** With `--pool`. */
  readonly given: (...args: readonly string[]) => Promise<DrayEnded>;
  readonly snapshot: string;
}

/** A folder to stand in, beside a pool with a volume `data` and a repository with a snapshot. */
async function standing({ place, folder, told }: PoolPlace): Promise<Here> {
  const here = join(folder, 'here');
  await mkdir(here);
  await told('repository', 'create');
  await writeFile(join(folder, 'source.img'), Buffer.alloc(65536, 3));
  const snapshot = (await told('backup', join(folder, 'source.img'), '-o', 'name')).trim();
  const { pool, ...rest } = place;
  return {
    here,
    snapshot,
    dray: async (...args) => await runDray({ ...place, cwd: here }, args),
    given: async (...args) => await runDray({ ...rest, cwd: here }, [...args, '--pool', pool]),
  };
}

function ended({ exitCode, stderr }: DrayEnded, status: number, said: RegExp = /(?:)/): void {
  assert.equal(exitCode, status, stderr);
  assert.match(stderr, said);
}

test(
  'names > a new name that ends like a file is refused, with both spellings, and nothing is made',
  options,
  async () => {
    await using world = await withVolume();
    const { dray, given, here, snapshot } = await standing(world);
    for (const name of ['disk.img', 'disk.qcow2', 'data-1.raw']) {
      ended(await dray('restore', snapshot, name), 2, new RegExp(`write \\./${name} for the file, or --pool `));
    }
    assert.deepEqual(await readdir(here), []);
    assert.equal(await world.told('volume', 'list', '-o', 'name'), 'data\n');
    ended(await dray('restore', snapshot, './disk.img'), 0);
    assert.deepEqual(await readdir(here), ['disk.img']);
    // What is not like a file is a volume, and what is here is a file.
    ended(await dray('restore', snapshot, 'data-1.2'), 0);
    ended(await dray('restore', snapshot, 'disk.img', '--overwrite'), 0);
    assert.equal(await world.told('volume', 'list', '-o', 'name'), 'data\ndata-1.2\n');
    // On the command line the pool says it, even beside a file of that name.
    ended(await given('restore', snapshot, 'disk.img'), 0);
    assert.equal(await world.told('volume', 'list', '-o', 'name'), 'data\ndata-1.2\ndisk.img\n');
    ended(await given('restore', snapshot, '.hidden'), 2, /cannot be the name of a volume/);
    ended(await given('restore', snapshot, './plain'), 0);
    assert.deepEqual(await readdir(here), ['disk.img', 'plain']);
  },
);

test('names > a backup takes the file or the volume, and asks where it could be either', options, async () => {
  await using world = await withVolume();
  const { dray, given, here } = await standing(world);
  await writeFile(join(here, 'disk.img'), Buffer.alloc(65536, 4));
  await writeFile(join(here, 'data'), Buffer.alloc(65536, 5));
  const sourceOf = ({ stdout, stderr }: DrayEnded): string => {
    assert.notEqual(stdout, '', stderr);
    const { source, poolSnapshot } = JSON.parse(stdout) as { readonly source: string; readonly poolSnapshot?: string };
    return poolSnapshot === undefined ? `file ${source}` : `volume ${poolSnapshot.split('@')[0]}`;
  };
  assert.equal(sourceOf(await dray('backup', 'disk.img', '-o', 'json')), 'file disk.img');
  assert.equal(sourceOf(await dray('backup', './data', '-o', 'json')), 'file ./data');
  ended(await dray('backup', 'data'), 2, /a volume data and a file data: write \.\/data for the file, or --pool /);
  assert.equal(sourceOf(await given('backup', 'data', '-o', 'json')), 'volume data');
  ended(await given('backup', 'disk.img'), 3, /no volume disk\.img in the pool/);
  ended(await dray('backup', 'nothing'), 3, /no file nothing, nor such a volume/);
  ended(await given('backup', 'data@a@b'), 2, /is not of the form VOLUME@SNAPSHOT/);
});

test('names > a name that is given twice counts once', options, async () => {
  await using world = await withVolume();
  const { told, json } = world;
  const group = await json<{ readonly snapshot: string }[]>(
    'snapshot',
    'create',
    'data',
    'data',
    '--group',
    '--name',
    'mon',
  );
  assert.deepEqual(
    group.map(({ snapshot }) => snapshot),
    ['data@mon'],
  );
  assert.equal(await told('snapshot', 'delete', 'data@mon', 'data@mon', '-o', 'name'), 'data@mon\n');
  assert.equal(await told('snapshot', 'list', '--volume', 'data', '-o', 'name'), '');
  await told('volume', 'rewrite', 'data', 'data');
  const { snapshot: id } = await standing(world);
  assert.equal(await told('snapshot', 'delete', id, id.slice(0, 20), '-o', 'name'), `${id}\n`);
});
