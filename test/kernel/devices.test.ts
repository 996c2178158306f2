import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { AlignedMemory } from '../../src/kernel/aligned-memory.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { seededRng } from '../../src/std/rng.ts';
import { openDeviceTarget } from '../../src/volume/device-target.ts';
import { extent } from '../../src/volume/extent.ts';
import { openSource, sourceInUse } from '../../src/volume/file-source.ts';
import { openFileTarget, reopenTarget, targetInUse } from '../../src/volume/file-target.ts';
import { attachLoop, loopDevicesMissing, run } from './loop-device.ts';

const signal = AbortSignal.timeout(120_000);
const coded =
  (code: string) =>
  (error: unknown): boolean =>
    hasCode(error, code);
/** A whole number of sectors but not of pages, and of no round size. */
const sizeBytes = 24 * 2 ** 20 + 3 * 512;

describe('block devices', { skip: loopDevicesMissing() }, () => {
  test('are read and written with their odd ends, past the page cache and through it', async () => {
    await using loop = await attachLoop(sizeBytes);
    const memory = AlignedMemory.allocate({ slotBytes: 2 ** 20, slots: 1 });
    const content = Buffer.from(seededRng(1).bytes(sizeBytes));
    {
      await using target = await openDeviceTarget(loop.device, { sizeBytes, signal });
      await using worker = await reopenTarget(structuredClone(target.location), { signal });
      for (let offset = 0; offset < sizeBytes; offset += 2 ** 20) {
        const bytes = content.subarray(offset, offset + 2 ** 20);
        memory.slot(0).set(bytes);
        const range = extent(offset, bytes.length);
        const piece = memory.slot(0).subarray(0, bytes.length);
        await (offset % 2 ** 21 === 0 ? target : worker).write(range, piece, { signal });
      }
      await worker.zero(extent(5 * 2 ** 20 + 100, 9 * 2 ** 20 + 7), { signal });
      content.fill(0, 5 * 2 ** 20 + 100, 14 * 2 ** 20 + 107);
      // Dirty pages inside the range, from a buffer that cannot go past the cache.
      await worker.write(extent(16 * 2 ** 20, 9000), content.subarray(0, 9000), { signal });
      await worker.zero(extent(15 * 2 ** 20, 3 * 2 ** 20), { signal });
      content.fill(0, 15 * 2 ** 20, 18 * 2 ** 20);
      await target.zero(extent(sizeBytes - 700, 700), { signal });
      content.fill(0, sizeBytes - 700);
      await target.flush({ signal });
    }
    for (const direct of [true, false]) {
      await using source = await openSource(loop.device, { signal, pastCache: direct });
      assert.equal(source.sizeBytes, sizeBytes);
      assert.deepEqual(await source.identity({ signal }), { kind: 'device', sizeBytes });
      const whole = extent(0, sizeBytes);
      assert.deepEqual(await Array.fromAsync(source.dataExtents(whole, { signal })), [whole]);
      const read = AlignedMemory.allocate({ slotBytes: 28 * 2 ** 20, slots: 1 }).slot(0);
      await source.read(whole, read, { signal });
      assert.ok(content.equals(read.subarray(0, sizeBytes)), `direct: ${direct}`);
    }
    assert.ok(content.equals(await readFile(loop.image)));
  });

  test('are refused as targets when they are too small or no device', async () => {
    await using loop = await attachLoop(sizeBytes);
    const tooSmall = openDeviceTarget(loop.device, { sizeBytes: sizeBytes + 1, signal });
    await assert.rejects(tooSmall, coded('volume-too-small'));
    const file = openFileTarget(loop.device, { sizeBytes, mode: 'truncate', signal });
    await assert.rejects(file, coded('volume-kind'));
  });

  test('are in use while they are mounted, and so is the image behind them', async () => {
    await using loop = await attachLoop(sizeBytes);
    assert.equal(await targetInUse(loop.device, { signal }).then((use) => use?.reason.includes('mounted')), undefined);
    assert.match((await targetInUse(loop.image, { signal }))?.reason ?? '', /attached as \/dev\/loop/);
    assert.equal(await sourceInUse(loop.image, { signal }), undefined);
    run('mkfs.ext4', '-q', loop.device);
    const mountPoint = join(loop.folder, 'mount point');
    await mkdir(mountPoint);
    run('mount', loop.device, mountPoint);
    try {
      for (const path of [loop.device, loop.image]) {
        assert.match((await sourceInUse(path, { signal }))?.reason ?? '', /mounted read-write at .*mount point/);
      }
      assert.match((await targetInUse(loop.device, { signal }))?.reason ?? '', /mounted/);
      await assert.rejects(openDeviceTarget(loop.device, { sizeBytes, signal }), coded('volume-busy'));
      run('mount', '-o', 'remount,ro', mountPoint);
      assert.equal(await sourceInUse(loop.device, { signal }), undefined);
      assert.match((await targetInUse(loop.device, { signal }))?.reason ?? '', /mounted read-only/);
    } finally {
      run('umount', mountPoint);
    }
    assert.equal(await sourceInUse(loop.device, { signal }), undefined);
    await using target = await openDeviceTarget(loop.device, { sizeBytes, signal });
    assert.match((await targetInUse(loop.device, { signal }))?.reason ?? '', /held exclusively/);
    assert.match(
      (await sourceInUse(loop.device, { signal }))?.reason ?? '',
      /held exclusively/,
      'while it is restored to',
    );
    await target.flush({ signal });
  });
});
