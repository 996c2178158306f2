/** The commands that look after a pool, and what leads from it into a repository, with the real program. */
import assert from 'node:assert/strict';
import { mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import { run } from '../kernel/loop-device.ts';
import { fileSystemsMissing, mountedFileSystem } from '../support/file-system.ts';
import {
  blocksThatDiffer,
  imageOf,
  loopDevices,
  mounted,
  poolPlace,
  withVolume,
  type ChangesPrinted,
} from './pool-place.ts';

const options = { skip: fileSystemsMissing('xfs', 'ext4') };

test('pool commands > snapshots that backups need stay, until their repository is forgotten', options, async () => {
  await using world = await withVolume();
  const { told, dray, json, place } = world;
  for (const name of ['mine', 'base']) await told('snapshot', 'create', 'data', '--name', name);
  const repository = 'ab'.repeat(16);
  for (const [name, madeBy] of [
    ['mine', 'user'],
    ['base', 'backup'],
  ] as const) {
    const path = join(place.pool, 'volumes/data/snapshots', name, 'snapshot.json');
    const record = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
    const needs = [{ kind: 'backup', repository, url: '/backups/a', since: '2031-04-02T06:47:00.000Z' }];
    await writeFile(path, JSON.stringify({ ...record, madeBy, needs }));
  }
  const refused = await dray('snapshot', 'delete', 'data@mine');
  assert.equal(refused.exitCode, 5);
  assert.match(refused.stderr, /data@mine is needed by: backup to \/backups\/a\n {2}next: .*--force/);
  const status = await json<{ readonly repositories: unknown }>('pool', 'status');
  assert.deepEqual(status.repositories, [{ repository, url: '/backups/a', snapshots: 2 }]);
  for (const none of ['/backups/b', 'abab', `${repository}ab`]) {
    assert.equal((await dray('pool', 'forget', none)).exitCode, 3, none);
  }
  assert.equal((await json<unknown[]>('pool', 'forget', repository.slice(0, 12), '--dry-run')).length, 2);
  const planned = await json<unknown[]>('pool', 'forget', 'file:///backups/a', '--dry-run');
  assert.deepEqual(planned, [
    { snapshot: 'data@mine', removed: false, dryRun: true },
    { snapshot: 'data@base', removed: true, dryRun: true },
  ]);
  await told('snapshot', 'show', 'data@base');
  const released = await json<unknown[]>('pool', 'forget', repository);
  assert.deepEqual(released, [
    { snapshot: 'data@mine', removed: false, dryRun: false },
    { snapshot: 'data@base', removed: true, dryRun: false },
  ]);
  assert.equal(await told('snapshot', 'list', '--volume', 'data', '-o', 'name'), 'data@mine\n');
  await told('snapshot', 'delete', 'data@mine');
});

test('pool commands > a place that two repositories had is not enough to forget one of them', options, async () => {
  await using world = await withVolume();
  const { told, dray, json, place } = world;
  const [gone = '', alive = ''] = ['ab', 'cd'].map((byte) => byte.repeat(16));
  for (const [name, repository] of [
    ['old', gone],
    ['new', alive],
  ] as const) {
    await told('snapshot', 'create', 'data', '--name', name);
    const path = join(place.pool, 'volumes/data/snapshots', name, 'snapshot.json');
    const record = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
    const needs = [{ kind: 'backup', repository, url: '/backups/a', since: '2031-04-02T06:47:00.000Z' }];
    await writeFile(path, JSON.stringify({ ...record, madeBy: 'backup', needs }));
  }
  const kept = async (): Promise<string[]> =>
    (await told('snapshot', 'list', '--volume', 'data', '-o', 'name')).trim().split('\n');
  for (const url of ['/backups/a', 'file:///backups/a']) {
    const { exitCode, stderr } = await dray('pool', 'forget', url);
    assert.equal(exitCode, 2);
    assert.match(
      stderr,
      /2 repositories at .*\/backups\/a keep snapshots: [abcd]{12}, [abcd]{12}\n {2}next: .*by its id/,
    );
  }
  assert.equal((await kept()).length, 2);
  const released = await json<unknown[]>('pool', 'forget', gone.slice(0, 12));
  assert.deepEqual(released, [{ snapshot: 'data@old', removed: true, dryRun: false }]);
  assert.deepEqual(await kept(), ['data@new']);
});

test(
  'pool commands > damage is named, hides nothing else, and is removed only when that is said',
  options,
  async () => {
    await using world = await withVolume();
    const { told, dray, json, place } = world;
    await told('volume', 'create', 'other', '--size', '8M');
    await told('snapshot', 'create', 'other', '--name', 'mon');
    await told('snapshot', 'create', 'other', '--name', 'tue');
    const live = join(place.pool, 'volumes/data/live/volume.json');
    await rename(live, `${live}.gone`);
    const listed = await dray('volume', 'list', '-o', 'name');
    assert.deepEqual([listed.exitCode, listed.stdout], [0, 'other\n']);
    assert.match(listed.stderr, /warning: .*volume\.json is missing/);
    const status = await json<{ readonly healthy: boolean; readonly volumes: number }>('pool', 'status');
    assert.deepEqual([status.healthy, status.volumes], [false, 1]);
    const shown = await dray('volume', 'show', 'data');
    assert.equal(shown.exitCode, 4);
    await rm(`${live}.gone`);
    assert.match(await told('pool', 'check', '--dry-run'), /is missing: would be made again/);
    await told('pool', 'check');
    assert.equal(await told('volume', 'list', '-o', 'name'), 'data\nother\n');

    const record = join(place.pool, 'volumes/other/snapshots/mon/snapshot.json');
    const written = await readFile(record);
    await writeFile(record, '{');
    const others = await dray('snapshot', 'list', '--volume', 'other', '-o', 'name');
    assert.deepEqual([others.exitCode, others.stdout], [0, 'other@tue\n']);
    assert.match(others.stderr, /warning: .*snapshot\.json is not JSON/);
    const one = await dray('volume', 'show', 'other', '-o', 'json');
    assert.equal(one.exitCode, 0, one.stderr);
    assert.deepEqual((JSON.parse(one.stdout) as { readonly snapshots: unknown }).snapshots, ['tue']);
    assert.match(one.stderr, /warning: .*snapshot\.json is not JSON; "dray pool check" tells more/);
    await writeFile(record, written);

    await rm(join(place.pool, 'volumes/other/snapshots/mon/image'));
    for (const words of [['list'], ['show', 'other']]) {
      assert.match((await dray('volume', ...words)).stderr, /warning: the image of other@mon is gone/);
    }
    for (const args of [['--dry-run'], ['--remove-damaged', '--dry-run'], []]) {
      const { exitCode, stdout } = await dray('pool', 'check', ...args);
      assert.equal(exitCode, 4, args.join(' '));
      assert.match(stdout, /the image of other@mon is gone/);
    }
    await told('pool', 'check', '--remove-damaged');
    await told('pool', 'check');
    assert.equal(await told('snapshot', 'list', '--volume', 'other', '-o', 'name'), 'other@tue\n');

    // Of a volume that is lost, snapshots are left: told until they are deleted, and good for a clone.
    await rm(join(place.pool, 'volumes/other/live/image'));
    const rounds = [
      { mended: 1, remedy: 'damaged' },
      { mended: 0, remedy: 'cleared' },
    ];
    for (const { mended, remedy } of rounds) {
      const { exitCode, stdout } = await dray('pool', 'check', '--remove-damaged', '-o', 'json');
      const checked = JSON.parse(stdout) as { mended: number; remaining: number; findings: Record<string, unknown>[] };
      assert.deepEqual([exitCode, checked.mended, checked.remaining], [4, mended, 1]);
      const [finding] = checked.findings;
      assert.deepEqual(
        [finding?.['message'], finding?.['remedy']],
        ['the image of volume other is gone; its snapshots are left', remedy],
      );
    }
    const dry = await dray('pool', 'check', '--remove-damaged', '--dry-run');
    assert.match(dry.stdout, /its snapshots are left: damaged, and what was left of it is removed/);
    await told('volume', 'clone', 'other@tue', 'again');
    assert.equal((await dray('volume', 'delete', 'other')).exitCode, 1);
    await told('volume', 'delete', 'other', '--with-snapshots');
    await rm(join(place.pool, 'volumes/again/live/image'));
    await told('pool', 'check', '--remove-damaged');
    assert.equal(await told('volume', 'list', '-o', 'name'), 'data\n');
    await told('volume', 'create', 'again', '--size', '8M');
  },
);

test('pool commands > a volume with a damaged snapshot is deleted only by force', options, async () => {
  await using world = await withVolume();
  const { told, dray, json, place } = world;
  for (const name of ['mon', 'tue']) await told('snapshot', 'create', 'data', '--name', name);
  await writeFile(join(place.pool, 'volumes/data/snapshots/mon/snapshot.json'), '{');
  const plain = await dray('volume', 'delete', 'data', '--with-snapshots');
  assert.equal(plain.exitCode, 4);
  assert.match(plain.stderr, /snapshot\.json is not JSON\n(.*\n)* {2}next: .*"dray pool check" mends/);
  const forced = await dray('volume', 'delete', 'data', '--force');
  assert.equal(forced.exitCode, 1);
  assert.match(forced.stderr, /volume data has snapshots: 2/);
  await writeFile(join(place.pool, 'volumes/data/live/volume.json'), '{');
  const deleted = await json<Record<string, unknown>>('volume', 'delete', 'data', '--with-snapshots', '--force');
  assert.deepEqual(deleted, { volume: 'data', dryRun: false, uniqueBytes: 0, snapshots: ['mon', 'tue'] });
  assert.equal(await told('volume', 'list', '-o', 'name'), '');
});

test('pool commands > a pool in an image is there again after a reboot', options, async () => {
  await using world = await poolPlace('ext4');
  const { told, dray, json, place, folder } = world;
  const image = join(folder, 'pool.img');
  const plain = await dray('pool', 'create');
  assert.equal(plain.exitCode, 1);
  assert.match(plain.stderr, /cannot share blocks.*\n.*\n {2}next: .*dray pool create DIR --image FILE --size 50G/);
  const made = await json<Record<string, unknown>>('pool', 'create', '--image', relative('.', image), '--size', '320M');
  await using stack = new AsyncDisposableStack();
  const close = (): void => {
    run('umount', place.pool);
    for (const { name, file } of loopDevices()) if (file === image) run('losetup', '-d', name);
  };
  stack.defer(close);
  assert.deepEqual([made['pool'], made['image'], made['imageSizeBytes']], [place.pool, image, 320 * 1024 ** 2]);
  await told('volume', 'create', 'data', '--size', '8M');
  const open = async (...args: readonly string[]): Promise<unknown> =>
    (await json<{ readonly mounted: boolean }>('pool', 'open', ...args)).mounted;
  assert.equal(await open(), false);
  await told('snapshot', 'create', 'data', '--name', 'mon');
  const device = async (what: string, name: string): Promise<string> =>
    (await told(what, 'attach', name, '-o', 'name')).trim();
  const [live, old] = [await device('volume', 'data'), await device('snapshot', 'data@mon')];
  const link = join(folder, 'link');
  await symlink(place.pool, link);
  const inUse = await dray('pool', 'close', link);
  assert.equal(inUse.exitCode, 5);
  for (const named of [`volume data is attached as ${live}`, `data@mon is attached as ${old}`]) {
    assert(inUse.stderr.includes(named), inUse.stderr);
  }
  await told('volume', 'detach', 'data');
  await told('snapshot', 'detach', 'data@mon');
  // What cannot be closed goes on being open.
  const elsewhere = join(folder, 'elsewhere');
  await mkdir(elsewhere);
  run('mount', '--bind', place.pool, elsewhere);
  try {
    const twice = await dray('pool', 'close');
    assert.equal(twice.exitCode, 5);
    assert(twice.stderr.includes(`it is mounted at ${elsewhere} as well`), twice.stderr);
    assert.equal(await told('volume', 'list', '-o', 'name'), 'data\n');
  } finally {
    run('umount', elsewhere);
  }
  assert.equal(await told('pool', 'close', link, '-o', 'name'), `${image}\n`);
  const gone = await dray('volume', 'list');
  assert.equal(gone.exitCode, 3);
  assert.match(gone.stderr, /lies in an image, which is not mounted\n {2}next: .*"dray pool open DIR"/);
  // Its place is not given to another pool.
  const second = ['--image', join(folder, 'second.img'), '--size', '320M'];
  for (const args of [[], second]) {
    const over = await dray('pool', 'create', ...args);
    assert.equal(over.exitCode, 1);
    assert.match(over.stderr, /the pool in .* lies in .*, which is not mounted\n {2}next: .*"dray pool open DIR"/);
  }
  assert.equal(await open(), true);
  assert.equal(await open(place.pool), false);
  assert.equal(await told('volume', 'list', '-o', 'name'), 'data\n');
  close();
  const moved = `${image}.moved`;
  await rename(image, moved);
  assert.equal((await dray('pool', 'open')).exitCode, 1);
  assert.equal(await open('--image', moved), true);
  assert.equal(await told('volume', 'list', '-o', 'name'), 'data\n');
  await rename(moved, image); // `close` looks for it by name.
});

test('pool commands > an image that is none of the pool changes nothing', options, async () => {
  await using world = await poolPlace('ext4');
  const { dray, json, place, folder } = world;
  const [image, other, inside] = [join(folder, 'p.img'), join(folder, 'other.img'), join(place.pool, 'p.img')];
  await using stack = new AsyncDisposableStack();
  const close = (): void => {
    run('umount', place.pool);
    for (const { name, file } of loopDevices()) if ([image, other].includes(file)) run('losetup', '-d', name);
  };
  stack.defer(close);
  // It would lie under its own mount, and nothing could open the pool again.
  const hidden = await dray('pool', 'create', '--image', inside, '--size', '320M');
  assert.equal(hidden.exitCode, 1);
  assert.match(hidden.stderr, /would lie under its own mount/);
  await json('pool', 'create', '--image', image, '--size', '320M');
  close();
  const noFile = await dray('pool', 'open', '--image', folder);
  assert.equal(noFile.exitCode, 1);
  assert.match(noFile.stderr, /pool open: attach .*\n.*\n {2}next: /);
  run('truncate', '-s', '320M', other);
  assert.equal((await dray('pool', 'open', '--image', other)).exitCode, 1);
  run('mkfs.xfs', '-q', other);
  const empty = await dray('pool', 'open', '--image', other);
  assert.equal(empty.exitCode, 3);
  assert.deepEqual(
    loopDevices().filter(({ file }) => file === other),
    [],
  );
  assert.equal((await json<{ readonly mounted: boolean }>('pool', 'open')).mounted, true);
});

test(
  'pool commands > each volume is listed with its own device, and status names what lies in a sound snapshot',
  options,
  async () => {
    await using world = await withVolume();
    const { told, json, place } = world;
    for (const name of ['idle', 'other']) await told('volume', 'create', name, '--size', '8M');
    const device = async (name: string, ...more: string[]): Promise<string> =>
      (await told('volume', 'attach', name, ...more, '-o', 'name')).trim();
    const [data, other] = [await device('data'), await device('other', '--read-only')];
    const listed = await json<readonly Record<string, unknown>[]>('volume', 'list');
    assert.deepEqual(
      listed.map(({ name, device: its, readOnly }) => [name, its, readOnly]),
      [
        ['data', data, false],
        ['idle', undefined, undefined],
        ['other', other, true],
      ],
    );
    await told('snapshot', 'create', 'idle', '--name', 'mon');
    const notes = join(place.pool, 'volumes/idle/snapshots/mon/notes');
    await writeFile(notes, 'mine');
    const status = await json<{ attached: number; healthy: boolean; findings: { path: string }[] }>('pool', 'status');
    assert.deepEqual([status.attached, status.healthy, status.findings.map(({ path }) => path)], [2, true, [notes]]);
  },
);

test('pool commands > the list of changes between two snapshots is one that a backup takes', options, async () => {
  await using world = await withVolume();
  const { told, json, folder } = world;
  await told('repository', 'create');
  const { path, unmount } = await mounted(world);
  await writeFile(join(path, 'a'), Buffer.alloc(3 * 1024 ** 2, 1));
  await told('snapshot', 'create', 'data', '--name', 'mon');
  await writeFile(join(path, 'b'), Buffer.alloc(1024 ** 2, 2));
  await told('snapshot', 'create', 'data', '--name', 'tue');
  await unmount();
  const device = async (name: string): Promise<string> => (await told('snapshot', 'attach', name, '-o', 'name')).trim();
  const [mon, tue] = [await device('data@mon'), await device('data@tue')];
  const first = (await told('backup', mon, '-o', 'name')).trim();
  const list = join(folder, 'changes.json');
  await writeFile(list, await told('changes', 'data@mon', 'data@tue', '--parent', first, '-o', 'json'));
  const second = await json<Record<string, unknown>>('backup', tue, '--parent', first, '--changes', list);
  assert.equal(second['rung'], 'list');
  assert(Number(second['readBytes']) < 16 * 1024 ** 2, `${String(second['readBytes'])} bytes were read`);
  const restored = join(folder, 'restored.img');
  const id = String(second['snapshot']);
  await told('restore', id, restored);
  assert((await readFile(restored)).equals(await imageOf(world, 'data/snapshots/tue')));

  const tree = await json<ChangesPrinted & { readonly parent: string; readonly snapshot: string }>(
    'changes',
    first,
    id,
  );
  assert.deepEqual([tree.rung, tree.parent, tree.snapshot, tree.sizeBytes], ['tree', first, id, 32 * 1024 ** 2]);
  const differing = blocksThatDiffer(
    await imageOf(world, 'data/snapshots/mon'),
    await imageOf(world, 'data/snapshots/tue'),
  );
  for (const offset of differing) {
    assert(tree.extents.some((extent) => offset >= extent.offset && offset < extent.offset + extent.length));
  }
});

test(
  'pool commands > a pool on an XFS with a reverse map says what it costs; one in an image has none',
  options,
  async () => {
    await using world = await poolPlace();
    const { told, dray, json, place, folder } = world;
    await using slow = await mountedFileSystem('xfs', 0, { makeOptions: ['-m', 'rmapbt=1'] });
    const made = await dray('pool', 'create', slow.path);
    assert.equal(made.exitCode, 0);
    assert.match(made.stderr, /keeps a reverse map \(rmapbt=1\).*rmapbt=0/s);
    assert.match(await told('pool', 'status', slow.path), /rmapbt=1/);
    const image = await dray('pool', 'create', `${place.pool}-image`, '--image', join(folder, 'img'), '--size', '300M');
    assert.equal(image.exitCode, 0, image.stderr);
    assert.doesNotMatch(image.stderr, /rmapbt/);
    const status = await json<{ readonly reverseMap: boolean }>('pool', 'status', `${place.pool}-image`);
    assert.equal(status.reverseMap, false);
    await told('pool', 'close', `${place.pool}-image`);
  },
);
