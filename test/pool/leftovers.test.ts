/** What a killed process left and the next one cannot clear away: nobody is kept from changing the pool, and it is named. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { FileLock } from '../../src/kernel/lock-file.ts';
import { mountFileSystem, unmountFileSystem } from '../../src/kernel/mount.ts';
import { deviceNumber } from '../../src/kernel/block-device.ts';
import { checkPool, type CheckResult } from '../../src/pool/check-pool.ts';
import type { Pool } from '../../src/pool/pool.ts';
import { systemClock } from '../../src/std/clock.ts';
import { run } from '../kernel/loop-device.ts';
import { fileSystemsMissing } from '../support/file-system.ts';
import { canWrite } from '../support/frozen-writers.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { withVolume } from './pool-place.ts';
import { makeVolume, type MountedVolume, mountedVolume, signal, smallPool, takeSnapshots } from './small-pool.ts';

const skip = fileSystemsMissing('xfs', 'ext4');

const check = async (pool: Pool, { dryRun }: { readonly dryRun: boolean }): Promise<CheckResult> =>
  await checkPool(pool, { dryRun, removeDamaged: false, removeUnfinished: false, signal });

/** What is found, with and without a dry run: both name the same. */
async function namedBy(pool: Pool): Promise<string[]> {
  const [dry, wet] = [await check(pool, { dryRun: true }), await check(pool, { dryRun: false })];
  const names = dry.findings.map(({ kind, what, remedy }) => `${kind} ${what} ${remedy}`);
  assert.deepEqual(
    wet.findings.map(({ kind, what, remedy }) => `${kind} ${what} ${remedy}`),
    names,
  );
  return names;
}

/** As a deleted volume leaves it. */
async function leaveBehind(staging: string): Promise<{ readonly name: string; readonly image: string }> {
  const name = 'removed-0000000000000001';
  for (const below of ['live', 'snapshots/mon']) {
    await mkdir(join(staging, name, below), { recursive: true });
    await writeFile(join(staging, name, below, 'image'), 'blocks');
  }
  return { name, image: join(staging, name, 'live/image') };
}

async function markOf(pool: Pool, device: string): Promise<string> {
  const name = 'freezing-0000000000000001.json';
  const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  const devices = [deviceNumber((await stat(device)).rdev)];
  await writeFile(join(pool.layout.staging, name), JSON.stringify({ boot, devices, expedited: true }));
  return name;
}

/** Until it is thawed; a failed test leaves nothing frozen. */
function frozen(mountPoint: string): Disposable {
  run('fsfreeze', '-f', mountPoint);
  return { [Symbol.dispose]: () => void spawnSync('fsfreeze', ['-u', mountPoint]) };
}

/** A volume whose mounted file system a killed snapshot left frozen. */
async function killedWhileFrozen(): Promise<
  AsyncDisposable & { readonly pool: Pool; readonly inside: MountedVolume; readonly mark: string }
> {
  await using made = new AsyncDisposableStack();
  const { pool } = made.use(await smallPool());
  await makeVolume(pool, 'data', { mkfs: 'ext4' });
  const inside = made.use(await mountedVolume(pool, 'data', 'ext4'));
  const mark = await markOf(pool, inside.device);
  made.use(frozen(inside.mountPoint));
  const all = made.move();
  return { pool, inside, mark, [Symbol.asyncDispose]: async () => await all.disposeAsync() };
}

describe('a leftover that cannot be removed', { skip }, () => {
  test('stays, keeps nobody from changing the pool, and is named until it can', async () => {
    await using small = await smallPool();
    const { pool } = small;
    await makeVolume(pool, 'data');
    const { name, image } = await leaveBehind(pool.layout.staging);
    run('chattr', '+i', image);
    try {
      await takeSnapshots(pool, ['data@mon']);
      assert.deepEqual(await namedBy(pool), [`leftover ${name} hand`]);
      assert.equal(await readFile(image, 'utf8'), 'blocks');
      assert.deepEqual(await readdir(join(pool.layout.staging, name)), ['live'], 'it keeps nothing else');
      const { findings } = await check(pool, { dryRun: true });
      assert.match(findings[0]?.message ?? '', /cannot be removed: EPERM/);
    } finally {
      run('chattr', '-i', image);
    }
    await takeSnapshots(pool, ['data@tue']);
    assert.deepEqual([await readdir(pool.layout.staging), await namedBy(pool)], [[], []]);
  });

  test('because something is mounted in it stays as well', async () => {
    await using small = await smallPool();
    const { pool } = small;
    await makeVolume(pool, 'data');
    const { name } = await leaveBehind(pool.layout.staging);
    const inside = join(pool.layout.staging, name, 'live');
    run('mount', '-t', 'tmpfs', 'none', inside);
    try {
      await takeSnapshots(pool, ['data@mon']);
      assert.deepEqual(await namedBy(pool), [`leftover ${name} hand`]);
    } finally {
      run('umount', inside);
    }
    assert.deepEqual((await check(pool, { dryRun: false })).recovered, [name]);
  });

  test('is told by the commands, whose status says that not all is well', async () => {
    await using world = await withVolume();
    const { dray, place, told } = world;
    const { name, image } = await leaveBehind(join(place.pool, 'staging'));
    run('chattr', '+i', image);
    try {
      for (const options of [['--dry-run'], []]) {
        const { exitCode, stdout } = await dray('pool', 'check', place.pool, ...options);
        assert.equal(exitCode, 1);
        assert.match(stdout, new RegExp(`${name} cannot be removed: EPERM.*chattr -R -i`));
        assert.doesNotMatch(stdout, /all is well/);
      }
      assert.match(await told('pool', 'status', place.pool), /Health.*cannot be removed/);
    } finally {
      run('chattr', '-i', image);
    }
    assert.match(await told('pool', 'check', place.pool), /all is well/);
  });

  test('because another process is at it is no fault, and told', async () => {
    await using world = await withVolume();
    const { place, told } = world;
    const { name } = await leaveBehind(join(place.pool, 'staging'));
    {
      const path = join(place.pool, 'staging', name);
      using _lock = await FileLock.take(path, { mode: 'shared', waitMs: 0, clock: systemClock, signal });
      const row = new RegExp(`Held +${name}: another process works there`);
      for (const words of [
        ['check', place.pool, '--dry-run'],
        ['check', place.pool],
        ['status', place.pool],
      ]) {
        assert.match(await told('pool', ...words), row);
      }
    }
    assert.doesNotMatch(await told('pool', 'check', place.pool), /Held/);
  });
});

describe('what a killed snapshot left frozen', { skip }, () => {
  test('stays marked while something hides its mount, and is thawed once nothing does', async () => {
    await using killed = await killedWhileFrozen();
    const { pool, inside, mark } = killed;
    run('mount', '-t', 'tmpfs', 'none', inside.mountPoint);
    try {
      await takeSnapshots(pool, ['data@mon']);
      assert.deepEqual(await namedBy(pool), [`frozen ${mark} hand`]);
    } finally {
      run('umount', inside.mountPoint);
    }
    assert.deepEqual((await check(pool, { dryRun: false })).recovered, [mark]);
    assert.equal(await canWrite(inside.mountPoint, 10), true);
    assert.deepEqual(await namedBy(pool), []);
  });

  test('stays marked also where it was unmounted: frozen, it lives on, and a mount finds it again', async () => {
    await using killed = await killedWhileFrozen();
    const { pool, inside, mark } = killed;
    await unmountFileSystem(inside.mountPoint);
    try {
      assert.deepEqual(await namedBy(pool), [`frozen ${mark} hand`]);
    } finally {
      await mountFileSystem(inside.device, inside.mountPoint, { type: 'ext4', options: [], signal });
    }
    assert.deepEqual((await check(pool, { dryRun: false })).recovered, [mark]);
    assert.equal(await canWrite(inside.mountPoint, 10), true);
  });
});

test(
  'a mounted volume > under a FUSE mount whose program has died is not frozen, and its snapshot says so',
  { skip },
  async () => {
    await using small = await smallPool();
    const { pool } = small;
    await makeVolume(pool, 'data', { mkfs: 'ext4' });
    await using inside = await mountedVolume(pool, 'data', 'ext4');
    await using script = await temporaryFolder('fuse');
    const options = 'fd=9,rootmode=40000,user_id=0,group_id=0';
    await writeFile(
      join(script.path, 'mount'),
      `exec 9<>/dev/fuse\nmount -i -t fuse -o ${options} dead ${inside.mountPoint}\n`,
    );
    run('sh', join(script.path, 'mount'));
    try {
      await assert.rejects(readdir(inside.mountPoint), { code: 'ENOTCONN' });
      const [snapshot] = await takeSnapshots(pool, ['data@mon']);
      assert.equal(snapshot?.record.consistency, 'crash');
      assert.match(snapshot.record.reason ?? '', /cannot be frozen: .* is mounted read-write at/);
    } finally {
      run('umount', '-l', inside.mountPoint);
    }
  },
);
