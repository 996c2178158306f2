import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile, rename, truncate, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { attachLoop, detachLoop, flushDevice, loopsOf, refreshLoop } from '../../src/kernel/loop-device.ts';
import type { LoopDevice } from '../../src/kernel/loop-device.ts';
import { cloneFile } from '../../src/kernel/reflink.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { fileSystemsMissing, mountedFileSystem } from '../support/file-system.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { loopDevicesMissing, run } from './loop-device.ts';

const signal = AbortSignal.timeout(120_000);
const sizeBytes = 16 * 2 ** 20;
const skip = process.env['CI'] === 'true' ? false : loopDevicesMissing();
const isBusy = (error: unknown): boolean => hasCode(error, 'kernel-busy');

async function imageFile(path: string): Promise<string> {
  await writeFile(path, '');
  await truncate(path, sizeBytes);
  return path;
}

interface Attached extends AsyncDisposable {
  readonly device: LoopDevice;
}

async function attached(image: string, options: { readOnly?: boolean; sectorBytes?: number } = {}): Promise<Attached> {
  const device = await attachLoop(image, { readOnly: false, sectorBytes: 4096, signal, ...options });
  return { device, [Symbol.asyncDispose]: async () => await detachLoop(device.path, { signal, file: image }) };
}

/** To a file of these tests: others, in other processes, are given the number as soon as it is free. */
async function isAttached({ path }: LoopDevice): Promise<boolean> {
  const file = join('/sys/block', path.slice('/dev/'.length), 'loop/backing_file');
  return await readFile(file, 'utf8').then(
    (name) => name.includes('/dray-image-'),
    () => false,
  );
}

describe('loop devices', { skip }, () => {
  test('are found while others detach theirs', async () => {
    await using folder = await temporaryFolder('image');
    const others = await Promise.all([1, 2, 3].map(async (n) => await imageFile(join(folder.path, `other-${n}`))));
    const image = await imageFile(join(folder.path, 'image'));
    await using mine = await attached(image);
    let isOver = false;
    const churning = others.map(async (other) => {
      while (!isOver) {
        const { path } = await attachLoop(other, { readOnly: false, sectorBytes: 4096, signal });
        await detachLoop(path, { signal, file: other });
      }
    });
    try {
      for (let times = 0; times < 300; times += 1) assert.deepEqual(await loopsOf(image, { signal }), [mine.device]);
    } finally {
      isOver = true;
      await Promise.all(churning);
    }
  });

  test('have the sector size that was asked for, and are gone when they are detached', async () => {
    await using folder = await temporaryFolder('image');
    const image = await imageFile(join(folder.path, 'image'));
    for (const sectorBytes of [512, 4096]) {
      const device = await attachLoop(image, { readOnly: false, sectorBytes, signal });
      assert.equal(device.sectorBytes, sectorBytes);
      assert.equal(device.sizeBytes, sizeBytes);
      assert.equal(device.readOnly, false);
      assert.equal(run('lsblk', '-dno', 'MAJ:MIN', device.path).trim(), device.deviceNumber);
      assert.deepEqual(await loopsOf(image, { signal }), [device]);
      await detachLoop(device.path, { signal });
      // Its number may be another's by now.
      assert.deepEqual(await loopsOf(image, { signal }), []);
    }
  });

  test('say so when a cloned image at 512 bytes gets buffered I/O instead of direct', async (context) => {
    if (fileSystemsMissing('xfs') !== false) return context.skip('needs mkfs.xfs');
    await using fileSystem = await mountedFileSystem('xfs', 0);
    const image = await imageFile(join(fileSystem.path, 'image'));
    await using source = await open(image, 'r+');
    await source.write(Buffer.alloc(2 ** 20, 1));
    await using clone = await open(`${image}-clone`, 'w');
    await cloneFile(source.fd, clone.fd);
    await using aligned = await attached(image, { sectorBytes: 4096 });
    assert.equal(aligned.device.directIo, true);
    await using small = await attached(`${image}-clone`, { sectorBytes: 512 });
    assert.equal(small.device.sectorBytes, 512);
    const shown = run('losetup', '-nO', 'DIO', small.device.path).trim();
    assert.equal(small.device.directIo, shown === '1');
  });

  test('take no writes when they are read-only', async () => {
    await using folder = await temporaryFolder('image');
    const image = await imageFile(join(folder.path, 'image'));
    await using loop = await attached(image, { readOnly: true });
    assert.equal(loop.device.readOnly, true);
    assert.equal(run('blockdev', '--getro', loop.device.path).trim(), '1');
  });

  test('are found by their file, also under a new name, and not by a name that another file has taken', async () => {
    await using folder = await temporaryFolder('image');
    const image = await imageFile(join(folder.path, 'image'));
    const device = await attachLoop(image, { readOnly: false, sectorBytes: 4096, signal });
    const moved = join(folder.path, 'moved');
    await rename(image, moved);
    await imageFile(image);
    assert.deepEqual(await loopsOf(moved, { signal }), [device]);
    assert.deepEqual(await loopsOf(image, { signal }), []);
    await assert.rejects(detachLoop(device.path, { signal, file: image }), isBusy);
    assert.equal(await isAttached(device), true);
    await detachLoop(device.path, { signal, file: moved });
    assert.equal(await isAttached(device), false);
  });

  test('grow with their file when they are told', async () => {
    await using folder = await temporaryFolder('image');
    const image = await imageFile(join(folder.path, 'image'));
    await using loop = await attached(image);
    await truncate(image, 2 * sizeBytes);
    assert.equal((await loopsOf(image, { signal }))[0]?.sizeBytes, sizeBytes);
    await refreshLoop(loop.device.path);
    assert.equal((await loopsOf(image, { signal }))[0]?.sizeBytes, 2 * sizeBytes);
  });

  test('give their file what was written to them when they are flushed, and when they are detached', async () => {
    await using folder = await temporaryFolder('image');
    const image = await imageFile(join(folder.path, 'image'));
    const device = await attachLoop(image, { readOnly: false, sectorBytes: 4096, signal });
    const { path } = device;
    await using writer = await open(path, 'r+');
    await writer.write(Buffer.alloc(4096, 1), 0, 4096, 0);
    assert.equal((await readFile(image))[0], 0, 'nothing to flush: this test proves nothing');
    await flushDevice(path);
    assert.equal((await readFile(image))[0], 1);
    await writer.write(Buffer.alloc(4096, 2), 0, 4096, 0);
    await writer.close();
    await detachLoop(path, { signal });
    assert.equal((await readFile(image))[0], 2);
  });

  test('stay, also later, when they are open or mounted', async () => {
    await using folder = await temporaryFolder('image');
    const image = await imageFile(join(folder.path, 'image'));
    await using loop = await attached(image);
    const { path } = loop.device;
    {
      await using _reader = await open(path, 'r');
      await assert.rejects(detachLoop(path, { signal }), isBusy);
    }
    // The last close has passed: a lazy detach would show.
    assert.equal(await isAttached(loop.device), true);
    assert.equal(run('losetup', '-nO', 'AUTOCLEAR', path).trim(), '0');
    run('mkfs.ext4', '-q', path);
    const mountPoint = join(folder.path, 'mounted');
    await mkdir(mountPoint);
    run('mount', path, mountPoint);
    try {
      await assert.rejects(detachLoop(path, { signal }), /mounted or claimed/);
    } finally {
      run('umount', mountPoint);
    }
    assert.equal(await isAttached(loop.device), true);
  });

  test('are waited for while somebody has them open for a moment', async () => {
    await using folder = await temporaryFolder('image');
    const image = await imageFile(join(folder.path, 'image'));
    const device = await attachLoop(image, { readOnly: false, sectorBytes: 4096, signal });
    const reader = await open(device.path, 'r');
    const detached = detachLoop(device.path, { signal });
    await once(spawn('true'), 'exit');
    await reader.close();
    await detached;
    assert.equal(await isAttached(device), false);
  });

  test('are each their own when many are attached at once', async () => {
    await using folder = await temporaryFolder('image');
    const images = await Promise.all(
      Array.from({ length: 6 }, async (_, index) => await imageFile(join(folder.path, `image-${index}`))),
    );
    const options = { readOnly: false, sectorBytes: 4096, signal };
    const devices = await Promise.all(images.map(async (image) => await attachLoop(image, options)));
    assert.equal(new Set(devices.map(({ path }) => path)).size, 6);
    for (const [index, image] of images.entries()) {
      assert.deepEqual(
        (await loopsOf(image, { signal })).map(({ path }) => path),
        [devices[index]?.path],
      );
    }
    await Promise.all(devices.map(async ({ path }) => await detachLoop(path, { signal })));
    for (const device of devices) assert.equal(await isAttached(device), false);
  });

  test('get a node where none is', async () => {
    await using folder = await temporaryFolder('image');
    const image = await imageFile(join(folder.path, 'image'));
    await using loop = await attached(image);
    const { path } = loop.device;
    await unlink(path);
    assert.deepEqual(
      (await loopsOf(image, { signal })).map((device) => device.path),
      [path],
    );
  });

  test('are not attached when the signal has fired, nor for a sector size that none has', async () => {
    await using folder = await temporaryFolder('image');
    const image = await imageFile(join(folder.path, 'image'));
    const aborted = AbortSignal.abort(new Error('enough'));
    await assert.rejects(attachLoop(image, { readOnly: false, sectorBytes: 4096, signal: aborted }), /enough/);
    const odd = attachLoop(image, { readOnly: false, sectorBytes: 1000, signal });
    await assert.rejects(odd, (error) => hasCode(error, 'kernel-unsupported'));
    assert.deepEqual(await loopsOf(image, { signal }), []);
  });
});
