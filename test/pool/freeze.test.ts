/** Freezes that go wrong: writers go on, nothing half-made is left, and the next snapshot works. */
import assert from 'node:assert/strict';
import { constants } from 'node:fs';
import { open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { attachVolume, detachVolume } from '../../src/pool/attach.ts';
import { findFaults } from '../../src/pool/find-faults.ts';
import { cloneStill, stillnessOf } from '../../src/pool/hold-still.ts';
import type { Pool } from '../../src/pool/pool.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { run } from '../kernel/loop-device.ts';
import { fileSystemsMissing } from '../support/file-system.ts';
import { canWrite, untilFrozen } from '../support/frozen-writers.ts';
import { hangingClone, openClone } from './hanging-clone.ts';
import { makeVolume, mountedVolume, signal, smallPool, startRival, takeSnapshots } from './small-pool.ts';

const isFreeze = (error: unknown): boolean => hasCode(error, 'pool-freeze');

async function nothingHalf(pool: Pool): Promise<void> {
  assert.deepEqual(await readdir(pool.layout.staging), []);
  assert.deepEqual(findFaults(pool), []);
}

describe('a freeze', { skip: fileSystemsMissing('xfs', 'ext4') }, () => {
  test('whose process is killed is let go, and the pool can be used at once', async () => {
    await using small = await smallPool();
    const { pool } = small;
    await makeVolume(pool, 'data', { mkfs: 'ext4' });
    await using inside = await mountedVolume(pool, 'data', 'ext4');
    await using clone = await hangingClone();
    // The bound is longer than this test may take: only the end of the process can thaw it.
    await using rival = startRival(pool, 'freeze', 'data', '500000', clone.folder);
    assert.equal(await rival.next(), 'ready');
    rival.process.stdin?.write('\n');
    assert.equal(await rival.next(), 'begins');
    await untilFrozen(inside.mountPoint);
    await rival.kill();
    assert.equal(await canWrite(inside.mountPoint), true);
    await takeSnapshots(pool, ['data@after']);
    await nothingHalf(pool);
  });

  test('that takes longer than its bound makes no snapshot, and writers go on meanwhile', async () => {
    await using small = await smallPool();
    const { pool } = small;
    await makeVolume(pool, 'data', { mkfs: 'ext4' });
    await using inside = await mountedVolume(pool, 'data', 'ext4');
    const stillness = await stillnessOf(pool.volume('data'), { signal });
    await using clone = await hangingClone();
    await using files = await openClone(clone.folder);
    const slow = cloneStill(pool, [{ stillness, ...files }], { boundMs: 300, signal });
    await assert.rejects(slow, isFreeze);
    assert.equal(await canWrite(inside.mountPoint), true);
    clone.letGo();
    await assert.rejects(takeSnapshots(pool, ['data@never'], { freezeBoundMs: 0 }), isFreeze);
    assert.equal(pool.findSnapshot('data', 'never'), undefined);
    assert.equal(await canWrite(inside.mountPoint), true);
    await nothingHalf(pool);
  });

  test('that the kernel cannot end makes no snapshot', async () => {
    await using small = await smallPool();
    const { pool } = small;
    for (const name of ['one', 'two']) await makeVolume(pool, name, { mkfs: 'ext4' });
    await using first = await mountedVolume(pool, 'one', 'ext4');
    await using second = await mountedVolume(pool, 'two', 'ext4');
    // Somebody else holds it frozen: it stays so, and what we had frozen before it is let go.
    run('fsfreeze', '-f', second.mountPoint);
    try {
      await assert.rejects(takeSnapshots(pool, ['one@g', 'two@g']), isFreeze);
      assert.equal(await canWrite(first.mountPoint), true);
    } finally {
      run('fsfreeze', '-u', second.mountPoint);
    }
    for (const name of ['one', 'two']) assert.deepEqual(pool.snapshots(name), []);
    assert.equal(await canWrite(second.mountPoint), true);
    await nothingHalf(pool);
    const [one, two] = await takeSnapshots(pool, ['one@g', 'two@g']);
    assert.equal(one!.record.created, two!.record.created);
  });

  test('begins with looks that keep nobody out', async () => {
    await using small = await smallPool();
    const { pool } = small;
    await makeVolume(pool, 'data');
    const { device } = await attachVolume(pool, 'data', { readOnly: false, signal });
    try {
      // To claim the device, even for a moment, would refuse others a mount or a discard; so what claims it is not seen.
      await using _claim = await open(device.path, constants.O_RDONLY | constants.O_EXCL);
      const { consistency, reason } = await stillnessOf(pool.volume('data'), { signal });
      assert.equal(consistency, 'crash');
      assert.match(reason ?? '', /no file system on .* is mounted where it could be frozen/);
    } finally {
      await detachVolume(pool, 'data', { signal });
    }
  });

  test('of a file system that shows nothing of it leaves a snapshot that mounts without replay', async () => {
    await using small = await smallPool();
    const { pool } = small;
    await makeVolume(pool, 'data', { mkfs: 'ext4' });
    {
      await using inside = await mountedVolume(pool, 'data', 'ext4');
      await writeFile(join(inside.mountPoint, 'file'), 'not synced');
      const [snapshot] = await takeSnapshots(pool, ['data@clean']);
      const header = run('dumpe2fs', '-h', snapshot!.image);
      assert.doesNotMatch(header, /needs_recovery/);
      assert.match(run('dumpe2fs', '-h', pool.volume('data').image), /needs_recovery/, 'it would never say so');
      assert.ok((await readFile(snapshot!.image)).includes('not synced'));
    }
    await nothingHalf(pool);
  });
});
