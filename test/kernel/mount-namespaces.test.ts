/** Mounts that other mount namespaces have. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, test } from 'node:test';
import { deviceNumber } from '../../src/kernel/block-device.ts';
import { usesOf, visibleUsesOf } from '../../src/kernel/device-uses.ts';
import { MountViews } from '../../src/kernel/mount-namespaces.ts';
import { mountsOfDevice, openMount } from '../../src/kernel/mounts.ts';
import { type Container, startContainer } from '../support/container.ts';
import { fileSystemsMissing } from '../support/file-system.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { attachLoop, run, type LoopDevice } from './loop-device.ts';

const signal = AbortSignal.timeout(300_000);

interface Unmounted extends LoopDevice {
  readonly number: string;
  readonly mountPoint: string;
}

async function unmounted(type: 'ext4' | 'btrfs' = 'ext4'): Promise<Unmounted> {
  const loop = await attachLoop(160 * 2 ** 20);
  run(`mkfs.${type}`, '-q', loop.device);
  const mountPoint = join(loop.folder, 'a place');
  await mkdir(mountPoint);
  return { ...loop, mountPoint, number: deviceNumber((await stat(loop.device)).rdev) };
}

interface Entered extends AsyncDisposable {
  readonly pid: number | undefined;
  /** What it says next; undefined when it has ended. */
  readonly says: () => Promise<string | undefined>;
}

/** Runs a script in a container's namespace, until disposed of; resolves when it has said something. */
async function enter(container: Container, script: string, ...args: readonly string[]): Promise<Entered> {
  const target = ['-t', String(container.pid), '-m', 'sh', '-c', script, 'sh', ...args];
  const child = spawn('nsenter', target, { stdio: ['pipe', 'pipe', 'inherit'] });
  const closed = once(child, 'close');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const says = async (): Promise<string | undefined> => (await lines.next()).value;
  await says();
  return {
    pid: child.pid,
    says,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await closed;
    },
  };
}

const pathsOf = async (number: string): Promise<string[]> =>
  (await mountsOfDevice(number)).map(({ reachablePath }) => reachablePath);

describe('mounts of other namespaces', { skip: fileSystemsMissing('ext4', 'btrfs') }, () => {
  test('are reached through a process there, and gone with it', async () => {
    for (const type of ['ext4', 'btrfs'] as const) {
      await using device = await unmounted(type);
      await using container = await startContainer(device);
      await using _beside = await startContainer({ mountPoint: device.mountPoint });
      assert.deepEqual(await pathsOf(device.number), [`/proc/${container.pid}/root${device.mountPoint}`]);
      await container.kill();
      assert.deepEqual(await pathsOf(device.number), []);
    }
  });

  test('are reached also where their process sees nothing else', async () => {
    await using device = await unmounted();
    await using container = await startContainer({ ...device, chroot: device.folder });
    assert.deepEqual(await pathsOf(device.number), [`/proc/${container.pid}/root/a place`]);
    const [use] = await usesOf(device.device, { signal });
    assert.match(
      use?.reason ?? '',
      /is mounted read-write at \/a place in the mount namespace of process \d+ \(cat\)$/,
    );
  });

  test('are reached also where only some of their processes see them', async () => {
    await using device = await unmounted();
    await using beside = await temporaryFolder('beside');
    await using blind = await startContainer({ ...device, chroot: beside.path });
    assert.deepEqual(await pathsOf(device.number), []);
    // Outside of the other's root, which it has from the one that entered.
    await using seeing = await enter(blind, 'echo entered && exec cat');
    assert.deepEqual(await pathsOf(device.number), [`/proc/${seeing.pid}/root${device.mountPoint}`]);
  });

  test('are left alone where one of this namespace is there', async () => {
    await using device = await unmounted();
    run('mount', device.device, device.folder);
    try {
      await using _container = await startContainer(device);
      assert.deepEqual(await pathsOf(device.number), [device.folder]);
    } finally {
      run('umount', device.folder);
    }
  });

  test('stay open when their process is gone; and its number leads to nothing else', async () => {
    await using device = await unmounted();
    await using container = await startContainer(device);
    const [mount] = await mountsOfDevice(device.number);
    assert(mount !== undefined);
    {
      await using folder = await openMount(mount);
      await container.kill();
      assert.deepEqual(await readdir(`/proc/self/fd/${folder?.fd}`), ['lost+found']);
    }
    await using _other = await startContainer(device);
    await assert.rejects(openMount(mount), { code: 'ENOENT' });
    // As if another process had got the number: the same path, another mount.
    assert.equal(await openMount({ ...mount, reachablePath: device.folder }), undefined);
    const [again] = await mountsOfDevice(device.number);
    const [id, number] = ['0', '7:999999'];
    assert.equal(await openMount({ ...again!, id }), undefined);
    assert.equal(await openMount({ ...again!, device: number }), undefined);
  });

  test('are not told for a mount that only says that it is of the device', async () => {
    await using device = await unmounted();
    await using liar = await startContainer({ mountPoint: device.mountPoint });
    run('nsenter', '-t', String(liar.pid), '-m', 'mount', '-t', 'tmpfs', device.device, device.mountPoint);
    const told = (await new MountViews().far()).flatMap(({ mounts }) =>
      mounts.filter(({ source }) => source === device.device),
    );
    assert.equal(told.length, 1);
    assert.deepEqual(await mountsOfDevice(device.number), []);
    assert.deepEqual(await visibleUsesOf(device.device, { signal }), []);
  });

  test('are not gone to where a program answers for the way, and may never', async () => {
    await using device = await unmounted();
    await using container = await startContainer(device);
    const mount = 'exec 9<>/dev/fuse && mount -i -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 mute "$1"';
    await using program = await enter(
      container,
      `${mount} && echo mounted && timeout 300 cat; echo over`,
      device.folder,
    );
    assert.deepEqual(await Promise.race([mountsOfDevice(device.number), program.says()]), []);
    const [use] = await visibleUsesOf(device.device, { signal });
    assert.match(use?.reason ?? '', /is mounted read-write at .* in the mount namespace of process/);
  });

  test('of processes that are not for us are passed over', async () => {
    await using device = await unmounted();
    await using _container = await startContainer(device);
    const modules = ['mounts.ts', 'device-uses.ts'].map((name) =>
      JSON.stringify(new URL(`../../src/kernel/${name}`, import.meta.url)),
    );
    const script = `import { mountsOfDevice } from ${modules[0]};
      import { visibleUsesOf } from ${modules[1]};
      const { signal } = new AbortController();
      console.log(JSON.stringify([await mountsOfDevice('${device.number}'), await visibleUsesOf('${device.device}', { signal })]));`;
    const nobody = ['--reuid', '65534', '--regid', '65534', '--clear-groups'];
    const { stdout, stderr } = spawnSync(
      'setpriv',
      [...nobody, process.execPath, '--input-type=module', '-e', script],
      { encoding: 'utf8' },
    );
    assert.equal(stdout, '[[],[]]\n', stderr);
  });
});
