import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { mapExtents, countExtents, extentFlags } from '../../src/kernel/extent-map.ts';
import { forbidCompression, setAllocationHint } from '../../src/kernel/file-flags.ts';
import { mountFileSystem, unmountFileSystem } from '../../src/kernel/mount.ts';
import { deviceNumber } from '../../src/kernel/block-device.ts';
import { mountsOfDevice } from '../../src/kernel/mounts.ts';
import { keepsReverseMap } from '../../src/kernel/xfs-geometry.ts';
import { renameExchange } from '../../src/kernel/sys.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { fileSystemsMissing, mountedFileSystem } from '../support/file-system.ts';
import { attachLoop, run } from './loop-device.ts';

const signal = AbortSignal.timeout(120_000);
const skip = fileSystemsMissing('xfs', 'btrfs', 'ext4');

describe('file flags', { skip }, () => {
  test('an allocation hint makes scattered blocks few extents on XFS', async () => {
    await using fileSystem = await mountedFileSystem('xfs', 0);
    const counts: number[] = [];
    for (const hinted of [false, true]) {
      await using file = await open(join(fileSystem.path, `hinted-${hinted}`), 'wx+');
      if (hinted) setAllocationHint(file.fd, 2 ** 20);
      await file.truncate(2 ** 20);
      // From the end, each on its own: nothing can be guessed from what was written before.
      for (let index = 14; index >= 0; index -= 2) {
        await file.write(Buffer.alloc(4096, 1), 0, 4096, index * 4096);
        await file.datasync();
      }
      const { extents } = await mapExtents(file.fd, { offset: 0, lengthBytes: 2 ** 20 }, { extentsMax: 100, signal });
      counts.push(new Set(extents.map(({ logical, physical }) => physical - logical)).size);
      assert((await countExtents(file.fd)) > 0);
      // With extents, the hint for unshared blocks alone.
      setAllocationHint(file.fd, 2 ** 19);
      const shown = run('xfs_io', '-r', '-c', 'extsize', '-c', 'cowextsize', join(fileSystem.path, `hinted-${hinted}`));
      assert.deepEqual(shown.match(/\[\d+\]/g), [hinted ? '[1048576]' : '[0]', '[524288]']);
    }
    assert.equal(counts[1], 1);
  });

  test('a file that is not to be compressed is not, on btrfs mounted with compression', async () => {
    await using fileSystem = await mountedFileSystem('btrfs', 0, { mountOptions: 'compress=zstd' });
    for (const forbidden of [false, true]) {
      await using file = await open(join(fileSystem.path, `forbidden-${forbidden}`), 'wx+');
      if (forbidden) forbidCompression(file.fd);
      await file.write(Buffer.alloc(2 ** 20, 'easy'));
      const { extents } = await mapExtents(file.fd, { offset: 0, lengthBytes: 2 ** 20 }, { extentsMax: 100, signal });
      assert.equal(
        extents.some(({ flags }) => (flags & extentFlags.encoded) !== 0),
        !forbidden,
      );
    }
  });

  test('an XFS tells whether it keeps a reverse map, others that they keep none', async () => {
    for (const [kind, makeOptions, expected] of [
      ['xfs', ['-m', 'rmapbt=1'], true],
      ['xfs', ['-m', 'rmapbt=0'], false],
      ['btrfs', [], false],
      ['ext4', [], false],
    ] as const) {
      await using fileSystem = await mountedFileSystem(kind, 0, { makeOptions });
      await using folder = await open(fileSystem.path);
      assert.equal(keepsReverseMap(folder.fd), expected, `${kind} ${makeOptions.join(' ')}`);
    }
  });

  test('file systems that cannot do it say so', async () => {
    for (const kind of ['ext4', 'btrfs'] as const) {
      await using fileSystem = await mountedFileSystem(kind, 0);
      await using file = await open(join(fileSystem.path, 'file'), 'wx+');
      assert.throws(
        () => setAllocationHint(file.fd, 2 ** 20),
        (error) => hasCode(error, 'kernel-unsupported'),
      );
    }
  });
});

test('two names are exchanged in one step', { skip }, async () => {
  for (const kind of ['xfs', 'btrfs'] as const) {
    await using fileSystem = await mountedFileSystem(kind, 0);
    const [one, two] = [join(fileSystem.path, 'one'), join(fileSystem.path, 'two')];
    await writeFile(one, 'first');
    await mkdir(two);
    await renameExchange(one, two);
    assert.equal(await readFile(two, 'utf8'), 'first');
    assert((await stat(one)).isDirectory());
    await assert.rejects(renameExchange(one, join(fileSystem.path, 'missing')), /ENOENT/);
    assert((await stat(one)).isDirectory());
  }
});

describe('mounts', { skip }, () => {
  test('are made and taken off, and told by their device, also those of btrfs', async () => {
    for (const type of ['xfs', 'btrfs'] as const) {
      await using loop = await attachLoop(320 * 2 ** 20);
      run(`mkfs.${type}`, '-q', loop.device);
      const number = deviceNumber((await stat(loop.device)).rdev);
      const [mountPoint, second] = [join(loop.folder, 'a place'), join(loop.folder, 'second')];
      for (const folder of [mountPoint, second]) await mkdir(folder);
      assert.deepEqual(await mountsOfDevice(number), []);
      await mountFileSystem(loop.device, mountPoint, { type, options: ['noatime'], signal });
      await mountFileSystem(mountPoint, second, { type: 'none', options: ['bind'], signal });
      const told = (await mountsOfDevice(number)).map((mount) => [mount.mountPoint, mount.reachablePath]);
      assert.deepEqual(told, [
        [mountPoint, mountPoint],
        [second, second],
      ]);
      await unmountFileSystem(second);
      {
        await using _file = await open(join(mountPoint, 'file'), 'w');
        await assert.rejects(unmountFileSystem(mountPoint), (error) => hasCode(error, 'mount-busy'));
      }
      await unmountFileSystem(mountPoint);
      assert.deepEqual(await mountsOfDevice(number), []);
    }
  });

  test('that fail say what the program said', async () => {
    await using loop = await attachLoop(2 ** 20);
    const failed = mountFileSystem(loop.device, loop.folder, { type: 'ext4', options: [], signal });
    await assert.rejects(failed, (error) => hasCode(error, 'mount-failed') && /bad superblock/.test(error.message));
    const aborted = AbortSignal.abort(new Error('enough'));
    await assert.rejects(
      mountFileSystem(loop.device, loop.folder, { type: 'ext4', options: [], signal: aborted }),
      /enough/,
    );
  });

  test('that only the host has are reached through its root', async () => {
    await using fileSystem = await mountedFileSystem('ext4', 0);
    const number = deviceNumber((await stat(fileSystem.device)).rdev);
    const module = new URL('../../src/kernel/mounts.ts', import.meta.url).href;
    const script = `import { mountsOfDevice } from ${JSON.stringify(module)};
      console.log(JSON.stringify((await mountsOfDevice(${JSON.stringify(number)})).map((mount) => mount.reachablePath)));`;
    const child = spawn(
      'unshare',
      [
        '-m',
        'sh',
        '-c',
        'umount "$1" && exec "$2" --input-type=module -e "$3"',
        'sh',
        fileSystem.path,
        process.execPath,
        script,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const closed = once(child, 'close');
    const told = Buffer.concat(await Array.fromAsync(child.stdout as AsyncIterable<Buffer>)).toString();
    await closed;
    // Where that of process 1 is not for us, by another process of the host.
    assert.match((JSON.parse(told) as string[]).join(), new RegExp(`^/proc/[0-9]+/root${fileSystem.path}$`));
  });
});
