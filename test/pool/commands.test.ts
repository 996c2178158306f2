/** The everyday commands of volumes and their snapshots with the real program, on a real file system that shares blocks. */
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { snapshotCreate } from '../../src/cli/actions/snapshot-create.ts';
import { CliContext } from '../../src/cli/shell/cli-context.ts';
import { systemClock } from '../../src/std/clock.ts';
import { systemRng } from '../../src/std/rng.ts';
import { run } from '../kernel/loop-device.ts';
import { fileSystemsMissing } from '../support/file-system.ts';
import { blocksThatDiffer, imageOf, loopDevices, mounted, withVolume, type ChangesPrinted } from './pool-place.ts';

const options = { skip: fileSystemsMissing('xfs', 'ext4') };

test('volume commands > a volume is mounted, and its snapshots keep what it was', options, async () => {
  await using world = await withVolume();
  const { told, json } = world;
  const device = (await told('volume', 'attach', 'data', '-o', 'name')).trim();
  assert.match(device, /^\/dev\/loop\d+$/);
  const again = await json<Record<string, unknown>>('volume', 'attach', 'data');
  assert.deepEqual(again, {
    volume: 'data',
    device,
    readOnly: false,
    sectorBytes: 4096,
    directIo: again['directIo'],
    made: false,
  });
  const { path, unmount } = await mounted(world);
  await writeFile(join(path, 'a'), 'first');
  const [row] = await json<Record<string, unknown>[]>('snapshot', 'create', 'data', '--name', 'mon');
  assert.deepEqual([row?.['snapshot'], row?.['consistency'], row?.['reason']], ['data@mon', 'frozen', undefined]);
  assert(typeof row?.['frozenMs'] === 'number');
  await writeFile(join(path, 'a'), 'second');
  await writeFile(join(path, 'b'), 'new');
  const named = (await told('snapshot', 'create', 'data', '-o', 'name')).trim();
  assert.match(named, /^data@\d{8}T\d{6}Z$/);
  assert.deepEqual((await told('snapshot', 'list', '--volume', 'data', '-o', 'name')).trim().split('\n'), [
    'data@mon',
    named,
  ]);
  await unmount();

  const changes = await json<ChangesPrinted & { readonly from: string; readonly to: string }>(
    'changes',
    'data@mon',
    named,
  );
  assert.deepEqual([changes.from, changes.to, changes.rung], ['data@mon', named, 'extents']);
  assert.equal(changes.sizeBytes, 32 * 1024 ** 2);
  const [before, after] = [
    await imageOf(world, 'data/snapshots/mon'),
    await imageOf(world, `data/snapshots/${named.slice(5)}`),
  ];
  const differing = blocksThatDiffer(before, after);
  assert(differing.length > 0);
  for (const offset of differing) {
    const found = changes.extents.some((extent) => offset >= extent.offset && offset < extent.offset + extent.length);
    assert(found, `the block at ${offset} differs and is not named`);
  }
  const total = changes.extents.reduce((sum, { length }) => sum + length, 0);
  assert(total < 4 * 1024 ** 2, `${total} bytes are named`);

  const old = (await told('snapshot', 'attach', 'data@mon', '-o', 'name')).trim();
  const view = join(world.folder, 'old');
  await mkdir(view);
  run('mount', '-o', 'ro', old, view);
  assert.equal(await readFile(join(view, 'a'), 'utf8'), 'first');
  const refused = await world.dray('snapshot', 'detach', 'data@mon');
  assert.deepEqual([refused.exitCode, refused.stdout], [5, '']);
  assert.match(refused.stderr, new RegExp(`attached as ${old}, and in use: ${old} is mounted read-only at ${view}\\n`));
  run('umount', view);
  await told('snapshot', 'detach', 'data@mon');
  // By its file: the number of a device is anybody's again at once.
  assert(!loopDevices().some(({ file }) => file === join(world.place.pool, 'volumes/data/snapshots/mon/image')));
});

test('volume commands > a revert loses nothing without being told twice', options, async () => {
  await using world = await withVolume();
  const { told, dray, json } = world;
  await told('snapshot', 'create', 'data', '--name', 'mon');
  const first = await imageOf(world, 'data/snapshots/mon');
  const { path, unmount } = await mounted(world);
  await writeFile(join(path, 'a'), 'kept by nobody');
  const attached = await dray('volume', 'revert', 'data@mon');
  assert.deepEqual([attached.exitCode, attached.stdout], [5, '']);
  assert.match(attached.stderr, /attached as \/dev\/loop/);
  await unmount();
  const written = await imageOf(world, 'data/live');
  for (const args of [['--dry-run'], []]) {
    const { exitCode, stderr } = await dray('volume', 'revert', 'data@mon', ...args);
    assert.equal(exitCode, args.length === 0 ? 1 : 0, stderr);
    assert.match(stderr, /volume data has .* of changes that no snapshot holds, since data@mon/);
    assert((await imageOf(world, 'data/live')).equals(written), 'nothing was changed');
  }
  await told('snapshot', 'create', 'data', '--name', 'tue');
  // Now a snapshot holds it all, so nothing is lost.
  const saved = await json<Record<string, unknown>>('volume', 'revert', 'data@mon');
  assert.deepEqual(saved, {
    volume: 'data',
    snapshot: 'data@mon',
    dryRun: false,
    lostBytes: 0,
    newerSnapshots: ['data@tue'],
  });
  assert((await imageOf(world, 'data/live')).equals(first));
  await told('volume', 'revert', 'data@tue');
  assert((await imageOf(world, 'data/live')).equals(written));
  const second = await mounted(world);
  await writeFile(join(second.path, 'a'), 'kept by nobody either');
  await second.unmount();
  const forced = await json<{ readonly lostBytes: number }>('volume', 'revert', 'data@mon', '--force');
  assert(forced.lostBytes > 0);
  assert((await imageOf(world, 'data/live')).equals(first));
  await told('snapshot', 'delete', 'data@mon', 'data@tue');
  const { exitCode } = await dray('volume', 'revert', 'data@mon');
  assert.equal(exitCode, 3);
});

test(
  'volume commands > a volume goes with its snapshots only when that is said, and clones of it stay',
  options,
  async () => {
    await using world = await withVolume();
    const { told, dray, json } = world;
    await told('snapshot', 'create', 'data', '--name', 'mon');
    await told('volume', 'clone', 'data@mon', 'copy');
    const content = await imageOf(world, 'copy/live');
    const shown = await json<Record<string, unknown>>('volume', 'show', 'copy');
    assert.equal(shown['clonedFrom'], 'data@mon');
    assert.deepEqual([shown['sizeBytes'], shown['snapshots'], shown['device']], [32 * 1024 ** 2, [], undefined]);
    const refused = await dray('volume', 'delete', 'data');
    assert.equal(refused.exitCode, 1);
    assert.match(refused.stderr, /has snapshots: 1, the newest mon\n {2}next: Say --with-snapshots/);
    await told('volume', 'delete', 'data', '--with-snapshots', '--dry-run');
    assert.equal(await told('volume', 'list', '-o', 'name'), 'copy\ndata\n');
    await told('volume', 'delete', 'data', '--with-snapshots');
    assert.equal(await told('volume', 'list', '-o', 'name'), 'copy\n');
    assert((await imageOf(world, 'copy/live')).equals(content));
    await told('volume', 'delete', 'copy');
    const rows = await json<unknown[]>('volume', 'list');
    assert.deepEqual(rows, []);
  },
);

test('volume commands > a size changes, and a smaller one must be said twice', options, async () => {
  await using world = await withVolume();
  const { told, dray, json } = world;
  const device = (await told('volume', 'attach', 'data', '-o', 'name')).trim();
  await told('volume', 'resize', 'data', '--size', '64M');
  assert.equal(run('blockdev', '--getsize64', device).trim(), String(64 * 1024 ** 2));
  await told('volume', 'detach', 'data');
  for (const args of [[], ['--shrink']]) {
    const { exitCode, stderr } = await dray('volume', 'resize', 'data', '--size', '16M', ...args);
    assert.equal(exitCode, 1);
    const sizes = 'has 64 MiB \\(67108864 bytes\\): 16 MiB \\(16777216 bytes\\)';
    assert.match(stderr, new RegExp(`${sizes} would cut its end off\n {2}next: .*--shrink --force`));
  }
  await told('volume', 'resize', 'data', '--size', '48M', '--shrink', '--force');
  const { sizeBytes } = await json<{ readonly sizeBytes: number }>('volume', 'show', 'data');
  assert.equal(sizeBytes, 48 * 1024 ** 2);
  await told('snapshot', 'create', 'data', '--name', 'small');
  await told('volume', 'resize', 'data', '--size', '52M');
  await told('snapshot', 'create', 'data', '--name', 'large');
  const changes = await json<ChangesPrinted>('changes', 'data@small', 'data@large');
  assert.deepEqual([changes.sizeBytes, changes.extents], [52 * 1024 ** 2, []], 'what it grew by reads as zeros');
});

test(
  'volume commands > sectors of 512 bytes are attached so, and the reader is told what that costs',
  options,
  async () => {
    await using world = await withVolume();
    const { told, dray } = world;
    await told('volume', 'create', 'old', '--size', '8M', '--sector-size', '512');
    // Sharing blocks is what takes direct I/O in small sectors away.
    await told('snapshot', 'create', 'old');
    const { exitCode, stdout, stderr } = await dray('volume', 'attach', 'old', '--read-only', '-o', 'json');
    assert.equal(exitCode, 0, stderr);
    const { sectorBytes, readOnly, directIo } = JSON.parse(stdout) as Record<string, unknown>;
    assert.deepEqual([sectorBytes, readOnly], [512, true]);
    assert.equal(/sectors of 512 bytes/.test(stderr), directIo === false, stderr);
    const other = await dray('volume', 'attach', 'old');
    assert.equal(other.exitCode, 5);
    assert.match(other.stderr, /is attached as .*, read-only/);
  },
);

test('volume commands > what is mistyped is told by status and name', options, async () => {
  await using world = await withVolume();
  const { dray, told, place } = world;
  await told('snapshot', 'create', 'data', '--name', 'mon');
  const expected: readonly (readonly [number, RegExp, ...string[]])[] = [
    [3, /no volume dat in the pool/, 'volume', 'show', 'dat'],
    [3, /no volume dat in the pool/, 'snapshot', 'list', '--volume', 'dat'],
    [3, /no snapshot tue of volume data/, 'snapshot', 'show', 'data@tue'],
    [3, /no snapshot tue of volume data/, 'changes', 'data@mon', 'data@tue'],
    [3, /no snapshot tue of volume data/, 'snapshot', 'delete', 'data@mon', 'data@tue'],
    [1, /there is a snapshot data@mon already/, 'snapshot', 'create', 'data', '--name', 'mon'],
    [1, /there is a volume data already/, 'volume', 'create', 'data', '--size', '1M'],
    [2, /must be a multiple of 4096/, 'volume', 'create', 'new', '--size', '1000'],
    [2, /must be a multiple of 4096, and not 0/, 'volume', 'create', 'new', '--size', '0'],
    // Of what mkfs prints, usage included, the first line: it says why.
    [1, /mkfs\.ext4 failed on \S+: [^\n]+\n {2}next: /, 'volume', 'create', 'new', '--mkfs', 'ext4', '--size', '4K'],
    [3, /no file dat, nor such a volume in the pool/, 'backup', 'dat'],
    [1, /there is a pool in .* already/, 'pool', 'create', place.pool],
    [3, /there is no pool in/, 'pool', 'status', `${place.pool}/none`],
  ];
  for (const [status, message, ...args] of expected) {
    const { exitCode, stdout, stderr } = await dray(...args);
    assert.deepEqual([exitCode, stdout], [status, ''], `${args.join(' ')}: ${stderr}`);
    assert.match(stderr, message);
    assert.match(stderr, /\n {2}next: /, `${args.join(' ')}: ${stderr}`);
  }
  // One of two names was wrong: the other one is still there.
  await told('snapshot', 'show', 'data@mon');
});

test('volume commands > volumes of a group are taken at one instant', options, async () => {
  await using world = await withVolume();
  const { json, told } = world;
  await told('volume', 'create', 'logs', '--size', '8M');
  const rows = await json<Record<string, unknown>[]>('snapshot', 'create', 'data', 'logs', '--group', '--name', 'both');
  assert.deepEqual(
    rows.map((row) => [row['snapshot'], row['consistency'], row['group']]),
    [
      ['data@both', 'unattached', ['data', 'logs']],
      ['logs@both', 'unattached', ['data', 'logs']],
    ],
  );
  assert.equal(rows[0]?.['created'], rows[1]?.['created']);
});

test('volume commands > a second snapshot of the same second gets a number', options, async () => {
  await using world = await withVolume();
  let printed = '';
  const clock = { ...systemClock, nowMs: () => Date.parse('2031-04-02T06:47:00.500Z') };
  const sink = {
    write: (text: string | Uint8Array, done?: (error?: Error | null) => void) => {
      printed += String(text);
      done?.();
      return true;
    },
  };
  const parts = {
    version: '0',
    env: { DRAY_POOL: world.place.pool },
    stdin: process.stdin,
    stdout: sink,
    stderr: sink,
    clock,
    rng: systemRng,
    signal: AbortSignal.timeout(60_000),
    userName: 'ann',
    hostName: 'host',
    homeDirectory: '/home/ann',
  };
  const context = new CliContext(parts, () => ({ output: 'name', tls: true, logLevel: 'info' }));
  for (let count = 0; count < 3; count += 1) {
    await snapshotCreate(context, { volumes: ['data'], name: undefined, freezeBoundMs: 5000 });
  }
  assert.equal(printed, 'data@20310402T064700Z\ndata@20310402T064700Z-2\ndata@20310402T064700Z-3\n');
});
