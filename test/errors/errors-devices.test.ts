/** What can go wrong with real devices, mounts and full disks: the exit status, what is named, and what to do. */
import assert from 'node:assert/strict';
import { constants } from 'node:fs';
import { mkdir, open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { attachLoop, loopDevicesMissing, run as system, type LoopDevice } from '../kernel/loop-device.ts';
import { startContainer } from '../support/container.ts';
import { drayJson, runDray, type BackupPrinted, type DrayPlace } from '../support/run-dray.ts';
import { temporaryFolder, type TemporaryFolder } from '../support/temporary.ts';
import { firstDifference, writeVolume } from '../support/volume-model.ts';
import { check } from './told.ts';

const mib = 1024 * 1024;
const skip = loopDevicesMissing();

describe('the user is told, on devices,', { skip }, () => {
  let folder: TemporaryFolder;
  let place: DrayPlace;
  let source: string;
  let snapshot: string;

  before(async () => {
    folder = await temporaryFolder('errors');
    const { path } = folder;
    place = { repository: join(path, 'repository'), cache: join(path, 'cache'), password: 'right' };
    source = join(path, 'volume.img');
    const random = { offset: 0, lengthBytes: 40 * mib, kind: 'random', seed: 1 } as const;
    await writeVolume(source, { sizeBytes: 48 * mib, pieces: [random] });
    assert.equal((await runDray(place, ['repository', 'create'])).exitCode, 0);
    snapshot = (await drayJson<BackupPrinted>(place, ['backup', source])).snapshot;
  });
  after(async () => await folder[Symbol.asyncDispose]());

  /** Mounts for as long as `work` takes. */
  async function mounted(args: readonly string[], at: string, work: () => Promise<void>): Promise<void> {
    await mkdir(at, { recursive: true });
    system('mount', ...args, at);
    try {
      await work();
    } finally {
      system('umount', at);
    }
  }

  async function filesystem(sizeBytes: number): Promise<LoopDevice> {
    const loop = await attachLoop(sizeBytes);
    system('mkfs.ext4', '-q', '-m', '0', loop.device);
    return loop;
  }

  test('that the disk of the repository is full; what was there stays whole', async () => {
    await using loop = await filesystem(96 * mib);
    const at = join(loop.folder, 'mounted');
    await mounted([loop.device], at, async () => {
      const full = { ...place, repository: join(at, 'repository') };
      assert.equal((await runDray(full, ['repository', 'create'])).exitCode, 0);
      const first = await drayJson<BackupPrinted>(full, ['backup', source]);
      const large = join(folder.path, 'large.img');
      const random = { offset: 0, lengthBytes: 120 * mib, kind: 'random', seed: 9 } as const;
      await writeVolume(large, { sizeBytes: 120 * mib, pieces: [random] });
      const packs = await packsIn(full.repository);
      const run = await runDray(full, ['backup', large]);
      check(run, { exit: 1, says: [/ENOSPC|no space/i, /next: Make room where the repository lies/] });
      assert.deepEqual(await packsIn(full.repository), packs, 'the room was given back');
      assert.equal((await drayJson<readonly unknown[]>(full, ['snapshot', 'list'])).length, 1);
      assert.equal((await runDray(full, ['repository', 'verify', '--level', 'data'])).exitCode, 0);
      const target = join(folder.path, 'from-full.img');
      assert.equal((await runDray(full, ['restore', first.snapshot, target])).exitCode, 0);
      assert.equal(await firstDifference(source, target), undefined);
      const unfinished = (await readdir(full.repository, { recursive: true })).filter((name) => name.includes('.tmp.'));
      assert.deepEqual(unfinished, []);
    });
  });

  test('that the disk of the target is full', async () => {
    await using loop = await filesystem(24 * mib);
    const at = join(loop.folder, 'mounted');
    await mounted([loop.device], at, async () => {
      const target = join(at, 'target.img');
      const run = await runDray(place, ['restore', snapshot, target]);
      check(run, { exit: 1, says: [/target\.img/, /next: Make room for the target/] });
      await assert.rejects(stat(target), { code: 'ENOENT' });
    });
  });

  test('that the repository can only be read: it is listed, verified and restored, but not written', async () => {
    const at = join(folder.path, 'read-only');
    await mounted(['-o', 'bind', place.repository], at, async () => {
      system('mount', '-o', 'remount,ro,bind', at);
      const readOnly = { ...place, repository: at };
      const run = await runDray(readOnly, ['backup', source]);
      check(run, { exit: 1, says: [/EROFS|read-only/i, /next: The repository can be read but not written/] });
      const target = join(folder.path, 'from-read-only.img');
      assert.equal((await runDray(readOnly, ['restore', snapshot, target])).exitCode, 0);
      assert.equal(await firstDifference(source, target), undefined);
      assert.equal((await runDray(readOnly, ['repository', 'verify', '--level', 'data'])).exitCode, 0);
    });
  });

  test('that the cache cannot be written', async () => {
    const at = join(folder.path, 'no-cache');
    await mkdir(at);
    await mounted(['-o', 'bind', at], at, async () => {
      system('mount', '-o', 'remount,ro,bind', at);
      const run = await runDray({ ...place, cache: join(at, 'cache') }, ['snapshot', 'list']);
      check(run, {
        exit: 1,
        says: [/the cache folder .*no-cache/, /next: Remove that cache folder, or choose another place/],
      });
    });
  });

  test('that the source is mounted read-write, and can be forced', async () => {
    await using loop = await filesystem(32 * mib);
    const at = join(loop.folder, 'mounted');
    await mounted([loop.device], at, async () => {
      for (const path of [loop.device, loop.image]) {
        const run = await runDray(place, ['backup', path]);
        check(run, { exit: 5, says: [/may be written to while it is read/, /next: Unmount it/] });
      }
      const forced = await runDray(place, ['backup', loop.device, '--force']);
      assert.equal(forced.exitCode, 0, forced.stderr);
      assert.match(forced.stderr, /no single point in time/);
    });
    await mounted(['-o', 'ro', loop.device], at, async () => {
      assert.equal((await runDray(place, ['backup', loop.device])).exitCode, 0);
    });
  });

  test('that the source is mounted in the namespace of a container, and of which process', async () => {
    await using loop = await filesystem(32 * mib);
    const at = join(loop.folder, 'mounted');
    await mkdir(at);
    {
      await using container = await startContainer({ device: loop.device, mountPoint: at, name: 'my\u001b[31m)' });
      const where = `/dev/\\w+ is mounted read-write at ${at} in the mount namespace of process ${container.pid}`;
      // What the process is called does what it likes to no terminal.
      const says = [
        new RegExp(`written to while it is read: ${where} \\(my\\\\u\\{1b\\}\\[31m\\)\\)`),
        /next: .*--force/,
      ];
      for (const path of [loop.device, loop.image]) check(await runDray(place, ['backup', path]), { exit: 5, says });
      assert.equal((await runDray(place, ['backup', loop.device, '--force'])).exitCode, 0);
    }
    assert.equal((await runDray(place, ['backup', loop.device])).exitCode, 0);
  });

  test('that somebody holds the source, who is not to be seen', async () => {
    await using loop = await filesystem(32 * mib);
    await using _claim = await open(loop.device, constants.O_RDONLY | constants.O_EXCL);
    const run = await runDray(place, ['backup', loop.device]);
    check(run, { exit: 5, says: [/may be written to while it is read: held exclusively/, /next: .*--force/] });
  });

  test('that the target device is too small, or in use', async () => {
    await using small = await attachLoop(16 * mib);
    const run = await runDray(place, ['restore', snapshot, small.device]);
    check(run, { exit: 1, says: [new RegExp(small.device), /next: Give a target of at least/] });
    await using used = await filesystem(64 * mib);
    await mounted([used.device], join(used.folder, 'mounted'), async () => {
      const busy = await runDray(place, ['restore', snapshot, used.device]);
      check(busy, { exit: 5, says: [/is in use/, /next: Unmount it/] });
    });
  });
});

async function packsIn(repository: string): Promise<string[]> {
  const names = await readdir(repository, { recursive: true });
  return names.filter((name) => name.startsWith('p') && name.endsWith('.f')).toSorted();
}
