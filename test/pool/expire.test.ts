/** Snapshots that are no longer kept, with the real program on a real file system that shares blocks. */
import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { FileLock } from '../../src/kernel/lock-file.ts';
import { systemClock } from '../../src/std/clock.ts';
import { run } from '../kernel/loop-device.ts';
import { fileSystemsMissing } from '../support/file-system.ts';
import { runDray } from '../support/run-dray.ts';
import { withVolume, type PoolPlace } from './pool-place.ts';

const options = { skip: fileSystemsMissing('xfs', 'ext4') };

const keepOne = ['snapshot', 'expire', '--volume', 'data', '--keep-latest', '1', '-o', 'json'];

interface Row {
  readonly snapshot: string;
  readonly expired: boolean;
  readonly reasons: readonly string[];
  readonly dryRun: boolean;
  readonly error?: string;
}

/** A snapshot as if taken by cron at that hour of 2 April, without a name unless it is given one. */
async function taken(
  { told, place }: PoolPlace,
  hour: number,
  { volume = 'data', name, ...more }: { volume?: string; name?: string; madeBy?: string; needs?: unknown } = {},
): Promise<string> {
  const at = String(hour).padStart(2, '0');
  const snapshot = name ?? `20210402T${at}0000Z`;
  await told('snapshot', 'create', volume, '--name', snapshot);
  const path = join(folderOf({ place }, `${volume}@${snapshot}`), 'snapshot.json');
  const record = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
  await writeFile(path, JSON.stringify({ ...record, ...more, created: `2021-04-02T${at}:00:00.000Z` }));
  return `${volume}@${snapshot}`;
}

function folderOf({ place }: Pick<PoolPlace, 'place'>, snapshot: string): string {
  const [volume = '', name = ''] = snapshot.split('@');
  return join(place.pool, 'volumes', volume, 'snapshots', name);
}

const left = async ({ told }: PoolPlace, volume = 'data'): Promise<string[]> =>
  (await told('snapshot', 'list', '--volume', volume, '-o', 'name')).trim().split('\n');

const whatOf = (rows: readonly Row[]): readonly (readonly [string, string])[] =>
  rows.map(({ snapshot, expired, reasons, error }) => [snapshot, expired ? 'expired' : (error ?? reasons.join(' '))]);

test(
  'expiry > what retention does not keep goes, named ones stay, and a second run changes nothing',
  options,
  async () => {
    await using world = await withVolume();
    const { told, json, dray } = world;
    const hourly: string[] = [];
    for (const hour of [1, 2, 3, 4]) hourly.push(await taken(world, hour));
    const named = await taken(world, 5, { name: 'before-upgrade' });
    const backups = await taken(world, 6, { madeBy: 'backup' });
    const all = await left(world);
    assert.deepEqual(all, [...hourly, named, backups]);
    const expected = [
      [backups, 'by a backup'],
      [named, 'named'],
      [hourly[3], 'hourly-1'],
      [hourly[2], 'hourly-2'],
      [hourly[1], 'expired'],
      [hourly[0], 'expired'],
    ];
    const keep = ['snapshot', 'expire', '--volume', 'data', '--keep-hourly', '2'];
    const planned = await json<Row[]>(...keep, '--dry-run');
    assert.deepEqual(whatOf(planned), expected);
    assert.deepEqual(
      planned.map(({ dryRun }) => dryRun),
      planned.map(() => true),
    );
    const table = await told(...keep, '--dry-run');
    assert.match(table, /^SNAPSHOT +TIME +WHAT +WHY\n/);
    assert.match(table, /\ndata@before-upgrade .* kept +named\n/);
    assert.match(table, /\ndata@20210402T010000Z .* would expire\n/);
    assert.deepEqual(await left(world), all, 'a dry run deleted something');

    for (const [given, message] of [
      [[], /a pool has no policy: say what stays, as --keep-daily 7/],
      [['--keep-daily', '0', '--keep-latest', '0'], /nothing would stay: one --keep-… must be more than 0/],
    ] as const) {
      const { exitCode, stdout, stderr } = await dray('snapshot', 'expire', '--volume', 'data', ...given);
      assert.deepEqual([exitCode, stdout], [2, '']);
      assert.match(stderr, message);
    }
    assert.deepEqual(await left(world), all, 'something was deleted though nothing was said to stay');

    assert.deepEqual(whatOf(await json<Row[]>(...keep)), expected);
    const after = [hourly[2], hourly[3], named, backups];
    assert.deepEqual(await left(world), after);
    const names = (await told(...keep, '-o', 'name')).trim().split('\n');
    assert.deepEqual(names.toReversed(), after);
    assert.deepEqual(await left(world), after, 'the second run deleted something');

    assert.deepEqual(
      whatOf(await json<Row[]>('snapshot', 'expire', '--volume', 'data', '--keep-latest', '1', '--named')),
      [
        [backups, 'by a backup'],
        [named, 'latest-1'],
        [hourly[3], 'expired'],
        [hourly[2], 'expired'],
      ],
    );
  },
);

test('expiry > what is needed, attached or being read stays, with the reason', options, async () => {
  await using world = await withVolume();
  const { told, json, place } = world;
  const needs = [{ kind: 'backup', repository: 'ab'.repeat(16), url: '/backups/a', since: '2021-04-02T06:47:00.000Z' }];
  const needed = await taken(world, 1, { needs });
  const attached = await taken(world, 2);
  const read = await taken(world, 3);
  const goes = await taken(world, 4);
  const newest = await taken(world, 5);
  const device = (await told('snapshot', 'attach', attached, '-o', 'name')).trim();
  const image = join(folderOf({ place }, read), 'image');
  const signal = AbortSignal.timeout(300_000);
  const keep = ['snapshot', 'expire', '--volume', 'data', '--keep-latest', '1'];
  {
    using _reader = await FileLock.take(image, {
      mode: 'shared',
      waitMs: 0,
      create: false,
      clock: systemClock,
      signal,
    });
    for (const args of [['--dry-run'], []]) {
      assert.deepEqual(whatOf(await json<Row[]>(...keep, ...args)), [
        [newest, 'latest-1'],
        [goes, 'expired'],
        [read, 'being read, by a backup or a comparison'],
        [attached, `attached as ${device}`],
        [needed, 'needed by: backup to /backups/a'],
      ]);
      assert.equal((await left(world)).length, args.length === 0 ? 4 : 5);
    }
  }
  await told('snapshot', 'detach', attached);
  await told(...keep);
  assert.deepEqual(await left(world), [needed, newest]);
});

test('expiry > one that cannot go keeps none of the others, and the status tells', options, async () => {
  await using world = await withVolume();
  const { dray, place } = world;
  const first = await taken(world, 1);
  const foreign = await taken(world, 2);
  const third = await taken(world, 3);
  const newest = await taken(world, 4);
  await writeFile(join(folderOf({ place }, foreign), 'mine'), 'not of the pool');
  const { exitCode, stdout, stderr } = await dray(...keepOne);
  assert.equal(exitCode, 1);
  assert.match(stderr, /holds what would be lost with it: .*mine is not of this pool/);
  assert.doesNotMatch(stderr, /nothing was changed/);
  const rows = JSON.parse(stdout) as Row[];
  assert.deepEqual(
    rows.map(({ snapshot, expired, error }) => [snapshot, expired, error !== undefined]),
    [
      [newest, false, false],
      [third, true, false],
      [foreign, false, true],
      [first, true, false],
    ],
  );
  assert.deepEqual(await left(world), [foreign, newest]);
});

test('expiry > several at once disturb each other no more than one who deletes the same', options, async () => {
  await using world = await withVolume();
  const { dray, told } = world;
  const old: string[] = [];
  for (let hour = 0; hour < 12; hour += 1) old.push(await taken(world, hour));
  const newest = await taken(world, 13);
  const runs = await Promise.all([1, 2].map(async () => await dray(...keepOne)));
  const expired = runs.flatMap(({ exitCode, stdout, stderr }) => {
    assert.equal(exitCode, 0, stderr);
    return (JSON.parse(stdout) as Row[]).filter((row) => row.expired).map(({ snapshot }) => snapshot);
  });
  assert.deepEqual(expired.sort(), old.sort(), 'each is deleted by one of them');
  assert.equal(await told('snapshot', 'list', '--volume', 'data', '-o', 'name'), `${newest}\n`);
});

test('expiry > volumes of a pool are told from sources of a repository', options, async () => {
  await using world = await withVolume();
  const { told, dray, json, place, folder } = world;
  await told('volume', 'create', 'logs', '--size', '8M');
  await told('repository', 'create');
  const [gone, logsGone] = [await taken(world, 1), await taken(world, 1, { volume: 'logs' })];
  const [kept, logsKept] = [await taken(world, 2), await taken(world, 2, { volume: 'logs' })];
  const stored = [await backedUp(world, 'data'), await backedUp(world, 'data')];
  const file = join(folder, 'data');
  await mkdir(join(folder, 'here'));
  await writeFile(join(folder, 'here/data'), Buffer.alloc(8192, 1));

  // Without an option it is the repository; its policy keeps all.
  const policy = await json<{ readonly id: string }[]>('snapshot', 'expire', '--keep-latest', '5');
  assert.deepEqual(policy.map(({ id }) => id).sort(), stored.toSorted());
  assert((await left(world)).includes(gone));

  // A volume's name finds what the repository has of it.
  const listed = async (...words: readonly string[]): Promise<string[]> =>
    (await told('snapshot', 'list', ...words, '-o', 'name')).trim().split('\n');
  assert.deepEqual(await listed('data'), stored);
  assert.deepEqual(await listed('logs', '--pool', place.pool), ['']);
  // Nor is a file that is gone no source.
  assert.deepEqual(await listed('gone.img'), ['']);
  const here = { ...place, cwd: join(folder, 'here') };
  for (const command of ['list', 'expire']) {
    const { exitCode, stderr } = await runDray(here, ['snapshot', command, 'data']);
    assert.equal(exitCode, 2, stderr);
    assert.match(stderr, /there is a volume data and a file data: write \.\/data for the file, or --pool/);
  }
  const byPool = await runDray(here, ['snapshot', 'list', 'data', '--pool', place.pool, '-o', 'name']);
  assert.equal(byPool.stdout.trim(), stored.join('\n'), byPool.stderr);
  assert.deepEqual(await listed(file), ['']);

  const wrong = await dray('snapshot', 'expire', '--keep-latest', '1', '--volume', 'logs', 'dat');
  assert.deepEqual([wrong.exitCode, wrong.stdout], [3, '']);
  assert.match(wrong.stderr, /no volume dat in the pool/);
  assert((await left(world, 'logs')).includes(logsGone), 'a mistyped name deleted something of another');

  const inRepository = ['snapshot', 'expire', 'data', '--keep-latest', '1', '--keep-hourly', '0'];
  const others = ['--keep-daily', '0', '--keep-weekly', '0', '--keep-monthly', '0', '--keep-annual', '0'];
  await told(...inRepository, ...others);
  assert.deepEqual(await listed('data'), stored.slice(1));
  assert((await left(world)).includes(gone));

  const ofData = await json<Row[]>('snapshot', 'expire', '--volume', 'data', '--keep-latest', '1');
  assert(ofData.some(({ snapshot, expired }) => snapshot === gone && expired));
  assert.deepEqual(await left(world, 'logs'), [logsGone, logsKept]);
  const ofAll = await json<Row[]>('snapshot', 'expire', '--all-volumes', '--keep-latest', '1');
  assert.deepEqual(
    ofAll.filter(({ expired }) => expired).map(({ snapshot }) => snapshot),
    [logsGone],
  );
  assert((await left(world)).includes(kept));
});

test('expiry > nothing goes of what is damaged, which hides nothing else', options, async () => {
  await using world = await withVolume();
  const { told, dray, place } = world;
  await told('volume', 'create', 'logs', '--size', '8M');
  await told('repository', 'create');
  const stored = await backedUp(world, 'data');
  for (const volume of ['data', 'logs']) for (const hour of [1, 2, 3]) await taken(world, hour, { volume });
  const ofData = await left(world);
  await writeFile(join(place.pool, 'volumes/data/live/volume.json'), '{');
  await rm(join(folderOf({ place }, 'logs@20210402T030000Z'), 'image'));
  const keep = ['--keep-latest', '1', '-o', 'json'];
  const named = await dray('snapshot', 'expire', '--volume', 'logs', 'data', ...keep);
  assert.deepEqual([named.exitCode, named.stdout], [4, '']);
  const { exitCode, stdout, stderr } = await dray('snapshot', 'expire', '--all-volumes', ...keep);
  assert.equal(exitCode, 0, stderr);
  assert.match(stderr, /warning: .*data\/live\/volume\.json is not JSON/);
  assert.match(stderr, /warning: the image of logs@20210402T030000Z is gone/);
  assert.deepEqual(whatOf(JSON.parse(stdout) as Row[]), [
    ['logs@20210402T030000Z', 'lost'],
    ['logs@20210402T020000Z', 'latest-1'],
    ['logs@20210402T010000Z', 'expired'],
  ]);
  assert.deepEqual(await left(world), ofData);
  // What the repository has of it is to be found the more.
  assert.equal((await told('snapshot', 'list', 'data', '-o', 'name')).trim(), stored);
});

async function backedUp({ told }: PoolPlace, volume: string): Promise<string> {
  return (await told('backup', volume, '-o', 'name')).trim();
}

test(
  'expiry > one that is gone and whose blocks do not come back counts as gone, and ends it with the reason',
  options,
  async () => {
    await using world = await withVolume();
    const { dray, place } = world;
    const goes = await taken(world, 1);
    const newest = await taken(world, 2);
    run('chattr', '+i', join(folderOf(world, goes), 'image'));
    const { exitCode, stdout, stderr } = await dray(...keepOne);
    const staging = join(place.pool, 'staging');
    const [removed = ''] = await readdir(staging);
    run('chattr', '-i', join(staging, removed, 'image'));
    const why = `give back the blocks of ${goes}, which is gone`;
    assert.equal(exitCode, 1);
    assert.match(stderr, new RegExp(`dray snapshot expire: ${why}\n {2}because: EPERM.*\n {2}next: .*for its room`));
    const rows = JSON.parse(stdout) as Row[];
    assert.deepEqual(
      rows.map(({ snapshot, expired, error }) => [snapshot, expired, error]),
      [
        [newest, false, undefined],
        [goes, true, why],
      ],
    );
    assert.deepEqual(await left(world), [newest]);
  },
);
