/** A pool in an image that somebody still uses when it is closed: who that is, wherever he is, and what is left then. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { run } from '../kernel/loop-device.ts';
import { startContainer } from '../support/container.ts';
import { fileSystemsMissing } from '../support/file-system.ts';
import { endDevicesBelow, loopDevices, poolPlace, type PoolPlace } from './pool-place.ts';

interface ImagePlace extends AsyncDisposable {
  readonly world: PoolPlace;
  readonly pool: string;
  /** Of the image. */
  readonly device: string;
  /** For mounts of others. */
  readonly elsewhere: string;
  readonly devices: () => readonly string[];
}

/** A pool in an image, with a volume `data`. */
async function imagePlace(): Promise<ImagePlace> {
  await using stack = new AsyncDisposableStack();
  const world = stack.use(await poolPlace('ext4'));
  const { place, folder, told } = world;
  const [image, elsewhere] = [join(folder, 'pool.img'), join(folder, 'elsewhere')];
  await mkdir(elsewhere);
  // As systemd has it: what is mounted there is told to others.
  run('mount', '--make-shared', dirname(place.pool));
  stack.defer(() => endDevicesBelow(folder));
  await told('pool', 'create', '--image', image, '--size', '320M');
  stack.defer(() => endDevicesBelow(place.pool));
  await told('volume', 'create', 'data', '--size', '8M', '--mkfs', 'ext4');
  const devices = (): string[] => loopDevices().flatMap(({ name, file }) => (file === image ? [name] : []));
  const [device = ''] = devices();
  const owned = stack.move();
  const { pool } = place;
  return { world, pool, device, elsewhere, devices, [Symbol.asyncDispose]: async () => await owned.disposeAsync() };
}

/** @returns what it said */
async function refused({ world, pool, devices }: ImagePlace): Promise<string> {
  const { exitCode, stderr } = await world.dray('pool', 'close');
  assert.equal(exitCode, 5, stderr);
  assert.match(stderr, new RegExp(`close the pool in ${pool}: `));
  assert.equal(devices().length, 1);
  return stderr;
}

async function stillOpen({ world }: ImagePlace): Promise<void> {
  assert.equal(await world.told('volume', 'list', '-o', 'name'), 'data\n');
}

async function closes({ world, devices }: ImagePlace): Promise<void> {
  await world.told('pool', 'close');
  assert.deepEqual(devices(), []);
}

/** Stands in a folder until disposed of, in a mount namespace to which mounts and their ends are told. */
async function startVisitor(folder: string): Promise<AsyncDisposable & { readonly pid: number }> {
  const script = 'cd "$1" && echo there && exec cat';
  const args = ['--mount', '--propagation', 'slave', 'sh', '-c', script, 'sh', folder];
  const child = spawn('unshare', args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const closed = once(child, 'close');
  const [word] = (await Promise.race([once(child.stdout, 'data'), closed])) as [unknown];
  assert(word instanceof Buffer && child.pid !== undefined);
  return {
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await closed;
    },
  };
}

describe('a pool in an image is not closed', { skip: fileSystemsMissing('xfs', 'ext4') }, () => {
  test('while a container has it mounted, which is named', async () => {
    await using place = await imagePlace();
    {
      await using container = await startContainer({ device: place.device, mountPoint: place.elsewhere });
      const said = await refused(place);
      const where = `it is mounted at ${place.elsewhere} in the mount namespace of process ${container.pid} (database) as well`;
      assert(said.includes(where), said);
      assert.match(said, / {2}next: .*"nsenter -t PID -m umount DIR"/);
      await stillOpen(place);
      // As it is told to do.
      run('nsenter', '-t', String(container.pid), '-m', 'umount', place.elsewhere);
      await closes(place);
    }
    await place.world.told('pool', 'open');
    await stillOpen(place);
  });

  test('while containers have it mounted, of which the first are named', async () => {
    await using place = await imagePlace();
    await using containers = new AsyncDisposableStack();
    for (let count = 0; count < 7; count += 1) {
      containers.use(await startContainer({ device: place.device, mountPoint: place.elsewhere }));
    }
    const said = await refused(place);
    assert.equal(said.split('in the mount namespace of process').length - 1, 5, said);
    assert.match(said, /, and 2 more\n/);
    await containers.disposeAsync();
    await closes(place);
  });

  test('while a container has a volume of it mounted, which is named with its device', async () => {
    await using place = await imagePlace();
    const device = (await place.world.told('volume', 'attach', 'data', '-o', 'name')).trim();
    await using container = await startContainer({ device, mountPoint: place.elsewhere });
    const said = await refused(place);
    const use = `${device} is mounted read-write at ${place.elsewhere} in the mount namespace of process ${container.pid} (database)`;
    assert(said.includes(`volume data is attached as ${device} (${use})`), said);
    await stillOpen(place);
    await container.kill();
    await place.world.told('volume', 'detach', 'data');
    await closes(place);
  });

  test('while a process stands in it, or something is mounted in it, which is named', async () => {
    await using place = await imagePlace();
    {
      await using visitor = await startVisitor(join(place.pool, 'volumes'));
      const said = await refused(place);
      assert(said.includes(`process ${visitor.pid} (cat) has ${place.pool}/volumes open`), said);
      await stillOpen(place);
    }
    const inside = join(place.pool, 'volumes');
    run('mount', '-t', 'tmpfs', 'none', inside);
    try {
      const said = await refused(place);
      assert(said.includes(`something is mounted at ${inside}`), said);
    } finally {
      run('umount', inside);
    }
    await closes(place);
  });

  test('by who made it read-only elsewhere, and it is said that it is not mounted here any more', async () => {
    await using place = await imagePlace();
    await using container = await startContainer({ device: place.device, mountPoint: place.elsewhere });
    run('nsenter', '-t', String(container.pid), '-m', 'mount', '-o', 'remount,ro', place.elsewhere);
    const said = await refused(place);
    assert(said.includes(`process ${container.pid} (database) as well, it is unmounted from there`), said);
    await container.kill();
    await place.world.told('pool', 'open');
    await stillOpen(place);
    await closes(place);
  });
});
