/** Volumes, snapshots and clones on real file systems that share blocks: what each operation promises, seen from outside. */
import assert from 'node:assert/strict';
import { link, mkdir, open, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { FileLock } from '../../src/kernel/lock-file.ts';
import { freezeFileSystem, thawFileSystem } from '../../src/kernel/freeze.ts';
import { markFrozen } from '../../src/pool/frozen-mark.ts';
import { attachVolume, detachVolume } from '../../src/pool/attach.ts';
import { checkPool } from '../../src/pool/check-pool.ts';
import { findFaults } from '../../src/pool/find-faults.ts';
import { createPool } from '../../src/pool/create-pool.ts';
import { createSnapshots } from '../../src/pool/create-snapshots.ts';
import { cloneVolume, createVolume } from '../../src/pool/create-volume.ts';
import { deleteSnapshot } from '../../src/pool/delete-snapshot.ts';
import { deleteVolume } from '../../src/pool/delete-volume.ts';
import { holdSnapshot } from '../../src/pool/hold-image.ts';
import { imageChangeTime } from '../../src/pool/image-changed.ts';
import { imageFigures, poolFigures } from '../../src/pool/inspect-pool.ts';
import { readableContents } from '../../src/pool/readable.ts';
import type { Pool, PoolSnapshot } from '../../src/pool/pool.ts';
import { resizeVolume } from '../../src/pool/resize-volume.ts';
import { revertVolume } from '../../src/pool/revert-volume.ts';
import { rewriteVolume } from '../../src/pool/rewrite-volume.ts';
import { systemClock } from '../../src/std/clock.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { systemRng } from '../../src/std/rng.ts';
import { areExpedited, beginExpedited } from '../../src/kernel/grace-periods.ts';
import { mountFileSystem, unmountFileSystem } from '../../src/kernel/mount.ts';
import { fileSystemsMissing, mountedFileSystem } from '../support/file-system.ts';
import { temporaryFolder } from '../support/temporary.ts';

const { signal } = new AbortController();
const parts = { clock: systemClock, rng: systemRng };
const mib = 1024 * 1024;
const onDropped = (): void => undefined;

async function snapshot(pool: Pool, volume: string, name: string): Promise<PoolSnapshot> {
  const request = { madeBy: 'user', needs: [], freezeBoundMs: 5000, onDropped, signal } as const;
  const { snapshots } = await createSnapshots(pool, { ...request, snapshots: [{ volume, snapshot: name }] });
  return snapshots[0]!;
}

async function write(path: string, offset: number, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(bytes, 0, bytes.length, offset);
  await file.sync();
  await file.close();
}

/** Every fourth block anew, each a write of its own. */
async function scatter(path: string): Promise<void> {
  const file = await open(path, 'r+');
  for (let block = 0; block < 4096; block += 4) {
    await file.write(Buffer.alloc(4096, block % 251), 0, 4096, block * 4096);
  }
  await file.sync();
  await file.close();
}

async function byteAt(path: string, offset: number): Promise<number> {
  const file = await open(path, 'r');
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, offset);
  await file.close();
  return buffer[0]!;
}

const small = { sizeBytes: 16 * mib, sectorBytes: 4096, mkfs: undefined, onDropped, signal } as const;

for (const kind of ['xfs', 'btrfs'] as const) {
  describe(`pool on ${kind}`, { skip: fileSystemsMissing(kind) }, () => {
    test('a snapshot keeps what the volume was, a clone begins as it, a revert brings it back', async () => {
      await using mounted = await mountedFileSystem(kind, 512 * mib);
      const pool = await createPool(join(mounted.path, 'pool'), parts, { signal });
      await createVolume(pool, { ...small, name: 'data' });
      const { device, made } = await attachVolume(pool, 'data', { readOnly: false, signal });
      assert.equal(made, true);
      await write(device.path, 0, Buffer.alloc(mib, 1));
      const first = await snapshot(pool, 'data', 'first');
      assert.equal(first.record.consistency, 'crash');
      await write(device.path, 0, Buffer.alloc(4096, 2));
      const again = await attachVolume(pool, 'data', { readOnly: false, signal });
      assert.deepEqual([again.device.path, again.made], [device.path, false]);
      const second = await snapshot(pool, 'data', 'second');
      assert.equal(second.record.parent, first.record.id);
      assert.deepEqual([await byteAt(first.image, 0), await byteAt(second.image, 0)], [1, 2]);
      await assert.rejects(revertVolume(pool, { volume: 'data', snapshot: 'first' }, { onDropped, signal }), (error) =>
        hasCode(error, 'pool-in-use'),
      );
      assert.equal(await detachVolume(pool, 'data', { signal }), device.path);
      assert.equal(await detachVolume(pool, 'data', { signal }), undefined);
      await revertVolume(pool, { volume: 'data', snapshot: 'first' }, { onDropped, signal });
      assert.equal(await byteAt(pool.volume('data').image, 0), 1);
      assert.equal(pool.volume('data').record.parent, first.record.id);
      const clone = await cloneVolume(pool, {
        from: { volume: 'data', snapshot: 'second' },
        name: 'copy',
        onDropped,
        signal,
      });
      assert.equal(await byteAt(clone.image, 0), 2);
      assert.notEqual(clone.record.id, pool.volume('data').record.id);
      assert.deepEqual(await readdir(pool.layout.staging), []);
      assert.deepEqual(findFaults(pool), []);
    });

    test('snapshots go in any order, but not while they are read, or needed', async () => {
      await using mounted = await mountedFileSystem(kind, 512 * mib);
      const pool = await createPool(mounted.path, parts, { signal });
      await createVolume(pool, { ...small, name: 'data' });
      for (const name of ['a', 'b', 'c']) {
        await write(pool.volume('data').image, 0, Buffer.from(name));
        await snapshot(pool, 'data', name);
      }
      {
        using _held = await holdSnapshot(pool, pool.snapshot('data', 'b'), { signal });
        await assert.rejects(
          deleteSnapshot(pool, { volume: 'data', snapshot: 'b' }, { force: true, signal }),
          (error) => hasCode(error, 'pool-in-use'),
        );
      }
      await deleteSnapshot(pool, { volume: 'data', snapshot: 'b' }, { force: false, signal });
      assert.equal(await byteAt(pool.snapshot('data', 'a').image, 0), 'a'.charCodeAt(0));
      assert.equal(await byteAt(pool.snapshot('data', 'c').image, 0), 'c'.charCodeAt(0));
      await assert.rejects(deleteVolume(pool, 'data', { withSnapshots: false, force: false, signal }), (error) =>
        hasCode(error, 'pool-has-snapshots'),
      );
      await deleteVolume(pool, 'data', { withSnapshots: true, force: false, signal });
      assert.deepEqual(pool.volumes(), []);
      assert.deepEqual(await readdir(pool.layout.staging), []);
    });

    test('a group is there as a whole, or refused as a whole', async () => {
      await using mounted = await mountedFileSystem(kind, 512 * mib);
      const pool = await createPool(mounted.path, parts, { signal });
      for (const name of ['one', 'two']) await createVolume(pool, { ...small, name });
      const names = ['one', 'two'].map((volume) => ({ volume, snapshot: 'g' }));
      const request = { madeBy: 'user', needs: [], freezeBoundMs: 5000, onDropped, signal } as const;
      await attachVolume(pool, 'two', { readOnly: false, signal });
      await assert.rejects(createSnapshots(pool, { ...request, snapshots: names }), (error) =>
        hasCode(error, 'pool-freeze'),
      );
      await detachVolume(pool, 'two', { signal });
      const { snapshots } = await createSnapshots(pool, { ...request, snapshots: names });
      assert.equal(snapshots[0]!.record.group?.id, snapshots[1]!.record.group?.id);
      assert.deepEqual(snapshots[0]!.record.group?.volumes, ['one', 'two']);
      assert.deepEqual(await readdir(pool.layout.staging), []);
    });

    test('a volume grows while it is attached, and shrinks only when told twice', async () => {
      await using mounted = await mountedFileSystem(kind, 512 * mib);
      const pool = await createPool(mounted.path, parts, { signal });
      await createVolume(pool, { ...small, name: 'data' });
      const { device } = await attachVolume(pool, 'data', { readOnly: false, signal });
      await resizeVolume(pool, 'data', { sizeBytes: 32 * mib, shrink: false, force: false, signal });
      const name = device.path.slice('/dev/'.length);
      assert.equal(Number(await readFile(`/sys/class/block/${name}/size`, 'utf8')) * 512, 32 * mib);
      await detachVolume(pool, 'data', { signal });
      const less = { sizeBytes: 8 * mib, signal };
      for (const told of [
        { shrink: false, force: false },
        { shrink: true, force: false },
        { shrink: false, force: true },
      ]) {
        await assert.rejects(resizeVolume(pool, 'data', { ...less, ...told }), (error) =>
          hasCode(error, 'pool-shrink'),
        );
      }
      await resizeVolume(pool, 'data', { ...less, shrink: true, force: true });
      assert.equal(pool.volume('data').sizeBytes, 8 * mib);
    });

    test('a fragmented volume is gathered, and its history stays', async () => {
      await using mounted = await mountedFileSystem(kind, 512 * mib);
      const pool = await createPool(mounted.path, parts, { signal });
      await createVolume(pool, { ...small, name: 'data' });
      const { image } = pool.volume('data');
      await write(image, 0, Buffer.alloc(16 * mib, 7));
      await snapshot(pool, 'data', 'before');
      await scatter(image);
      const base = await snapshot(pool, 'data', 'base');
      await write(image, 4096, Buffer.alloc(4096, 9));
      const content = await readFile(image);
      const fragments = (await imageFigures(image, { signal })).extents;
      const result = await rewriteVolume(pool, 'data', { onProgress: () => undefined, signal });
      assert.deepEqual([result.busyBytes, result.stoppedForRoom], [0, false]);
      const { extents } = await imageFigures(image, { signal });
      assert.ok(fragments > 1000 && extents <= 4, `${fragments} extents became ${extents}`);
      assert.ok(content.equals(await readFile(image)));
      // Their blocks are others now, and by no hand but the pool's.
      for (const { image: kept, record } of pool.snapshots('data')) {
        assert.equal(imageChangeTime(kept), record.imageChanged);
      }
      const now = await snapshot(pool, 'data', 'now');
      const { comparePoolSnapshots } = await import('../../src/changes/pool-changes.ts');
      assert.deepEqual((await comparePoolSnapshots(pool, { base, target: now }, { signal })).extents, [
        { offset: 4096, lengthBytes: 4096 },
      ]);
    });
  });
}

describe('pool with mounted volumes', { skip: fileSystemsMissing('xfs', 'ext4') }, () => {
  for (const inner of ['ext4', 'xfs'] as const) {
    test(`a mounted ${inner} is frozen for its snapshot, and goes on`, async () => {
      await using mounted = await mountedFileSystem('xfs', 1024 * mib);
      await using inside = await temporaryFolder('inside');
      const pool = await createPool(mounted.path, parts, { signal });
      await createVolume(pool, { ...small, name: 'data', sizeBytes: 320 * mib, mkfs: inner });
      const { device } = await attachVolume(pool, 'data', { readOnly: false, signal });
      await mountFileSystem(device.path, inside.path, { type: inner, options: [], signal });
      try {
        await writeFile(join(inside.path, 'file'), 'not synced by anybody');
        const { record, image } = await snapshot(pool, 'data', 'busy');
        assert.equal(record.consistency, 'frozen');
        await writeFile(join(inside.path, 'file'), 'later');
        assert.ok((await readFile(image)).includes('not synced by anybody'));
        await assert.rejects(detachVolume(pool, 'data', { signal }), (error) => hasCode(error, 'pool-in-use'));
      } finally {
        await unmountFileSystem(inside.path);
      }
      await detachVolume(pool, 'data', { signal });
    });
  }

  test('a device that nothing mounts is flushed: its snapshot has what a program wrote to it and did not sync', async () => {
    await using mounted = await mountedFileSystem('xfs', 512 * mib);
    const pool = await createPool(mounted.path, parts, { signal });
    await createVolume(pool, { ...small, name: 'raw' });
    const { device } = await attachVolume(pool, 'raw', { readOnly: false, signal });
    // It stays open: the kernel writes out what a device's last user leaves.
    const file = await open(device.path, 'r+');
    try {
      await file.write(Buffer.alloc(4096, 7), 0, 4096, 5 * mib);
      const { record, image } = await snapshot(pool, 'raw', 'busy');
      assert.equal(record.consistency, 'crash');
      assert.equal(await byteAt(image, 5 * mib), 7);
    } finally {
      await file.close();
      await detachVolume(pool, 'raw', { signal });
    }
  });
});

describe('pool whose container was killed with the guard of its freeze', { skip: fileSystemsMissing('xfs') }, () => {
  test('thaws what the mark names, before anything else', async () => {
    await using mounted = await mountedFileSystem('xfs', 1024 * mib);
    await using inside = await temporaryFolder('inside');
    const pool = await createPool(mounted.path, parts, { signal });
    await createVolume(pool, { ...small, name: 'data', sizeBytes: 64 * mib, mkfs: 'ext4' });
    const { device } = await attachVolume(pool, 'data', { readOnly: false, signal });
    await mountFileSystem(device.path, inside.path, { type: 'ext4', options: [], signal });
    const folder = await open(inside.path, 'r');
    try {
      await markFrozen(pool, [device.deviceNumber], { signal });
      const wereExpedited = areExpedited();
      beginExpedited();
      await freezeFileSystem(folder.fd);
      await pool.change(() => Promise.resolve(), { signal });
      if (!wereExpedited) assert.equal(areExpedited(), false, 'grace periods were still quick');
      assert.equal(await thawFileSystem(folder.fd), false, 'it was still frozen');
      assert.deepEqual(await readdir(pool.layout.staging), []);
    } finally {
      await folder.close();
      await unmountFileSystem(inside.path);
      await detachVolume(pool, 'data', { signal });
    }
  });
});

describe('pool', { skip: fileSystemsMissing('xfs', 'ext4') }, () => {
  test('is refused where blocks cannot be shared, and leaves nothing', async () => {
    await using mounted = await mountedFileSystem('ext4', 64 * mib);
    await assert.rejects(createPool(join(mounted.path, 'pool'), parts, { signal }), (error) =>
      hasCode(error, 'pool-reflink'),
    );
    assert.deepEqual(await readdir(join(mounted.path, 'pool')), []);
  });

  test('is not made over something else, nor twice', async () => {
    await using mounted = await mountedFileSystem('xfs', 512 * mib);
    await createPool(mounted.path, parts, { signal });
    await assert.rejects(createPool(mounted.path, parts, { signal }), (error) => hasCode(error, 'pool-exists'));
    await assert.rejects(createPool('/etc', parts, { signal }), (error) => hasCode(error, 'pool-foreign'));
  });

  test('a volume that is deleted takes nothing along that has another name', async () => {
    await using mounted = await mountedFileSystem('xfs', 512 * mib);
    const pool = await createPool(join(mounted.path, 'pool'), parts, { signal });
    const [kept, elsewhere] = [join(mounted.path, 'kept'), join(mounted.path, 'elsewhere')];
    const options = { withSnapshots: false, force: false, signal } as const;
    const linked = await createVolume(pool, { ...small, name: 'linked' });
    await write(linked.image, 0, Buffer.from('linked'));
    await link(linked.image, kept);
    await deleteVolume(pool, 'linked', options);
    assert.equal((await readFile(kept)).subarray(0, 6).toString(), 'linked');
    const moved = await createVolume(pool, { ...small, name: 'moved' });
    await writeFile(elsewhere, 'moved');
    await rm(moved.image);
    await symlink(elsewhere, moved.image);
    await deleteVolume(pool, 'moved', options);
    assert.equal(await readFile(elsewhere, 'utf8'), 'moved');
    assert.deepEqual(await readdir(pool.layout.staging), []);
  });

  test('a snapshot that was made anew under its name is not taken for the one that was looked at', async () => {
    await using mounted = await mountedFileSystem('xfs', 512 * mib);
    const pool = await createPool(join(mounted.path, 'pool'), parts, { signal });
    await createVolume(pool, { ...small, name: 'data' });
    const before = await snapshot(pool, 'data', 'monday');
    await deleteSnapshot(pool, { volume: 'data', snapshot: 'monday' }, { force: false, signal });
    const after = await snapshot(pool, 'data', 'monday');
    await assert.rejects(holdSnapshot(pool, before, { signal }), (error) => hasCode(error, 'pool-snapshot-missing'));
    {
      using _held = await holdSnapshot(pool, after, { signal });
    }
    // Nothing is held by the one that was refused.
    await deleteSnapshot(pool, { volume: 'data', snapshot: 'monday' }, { force: false, signal });
  });

  test('counts what is shared and what is not', async () => {
    await using mounted = await mountedFileSystem('xfs', 512 * mib);
    const pool = await createPool(mounted.path, parts, { signal });
    await createVolume(pool, { ...small, name: 'data' });
    await write(pool.volume('data').image, 0, Buffer.alloc(4 * mib, 7));
    await snapshot(pool, 'data', 'a');
    await write(pool.volume('data').image, 0, Buffer.alloc(mib, 8));
    const figures = await poolFigures(pool, readableContents(pool), { signal });
    assert.equal(figures.sharedBytes, 3 * mib);
    assert.ok(figures.uniqueBytes >= mib && figures.uniqueBytes < 2 * mib, String(figures.uniqueBytes));
    assert.ok(figures.snapshotBytes >= mib && figures.snapshotBytes < 2 * mib, String(figures.snapshotBytes));
    assert.equal((await stat(pool.volume('data').image)).size, figures.logicalBytes);
  });

  test('is cleared of what was left, and what a living process works with is not counted', async () => {
    await using mounted = await mountedFileSystem('xfs', 512 * mib);
    const pool = await createPool(join(mounted.path, 'pool'), parts, { signal });
    const [left, used] = ['new-0123456789abcdef', 'rewrite-0123456789abcdef'];
    for (const name of [left, used]) await mkdir(join(pool.layout.staging, name));
    const path = join(pool.layout.staging, used);
    using _held = await FileLock.take(path, { mode: 'shared', waitMs: 0, clock: systemClock, signal });
    const { recovered } = await checkPool(pool, {
      dryRun: false,
      removeDamaged: false,
      removeUnfinished: false,
      signal,
    });
    assert.deepEqual(recovered, [left]);
    assert.deepEqual(await readdir(pool.layout.staging), [used]);
  });

  test('is mended: an image without record gets one, a record without image is named and stays until told', async () => {
    await using mounted = await mountedFileSystem('xfs', 512 * mib);
    const pool = await createPool(mounted.path, parts, { signal });
    await createVolume(pool, { ...small, name: 'data', sectorBytes: 512 });
    for (const name of ['a', 'b']) await snapshot(pool, 'data', name);
    const { rm } = await import('node:fs/promises');
    await rm(join(pool.layout.snapshot('data', 'a'), 'snapshot.json'));
    await rm(pool.layout.snapshotImage('data', 'b'));
    await rm(join(pool.layout.live('data'), 'volume.json'));
    assert.equal(findFaults(pool).length, 3);
    const dry = await checkPool(pool, { dryRun: true, removeDamaged: false, removeUnfinished: false, signal });
    assert.equal(dry.mended, 0);
    const { mended } = await checkPool(pool, { dryRun: false, removeDamaged: false, removeUnfinished: false, signal });
    assert.equal(mended, 2);
    assert.equal(pool.volume('data').record.sectorBytes, 512);
    assert.equal(pool.snapshot('data', 'a').record.consistency, 'crash');
    assert.deepEqual(
      findFaults(pool).map(({ kind, what }) => `${kind} ${what}`),
      ['snapshot-image data@b'],
    );
    await checkPool(pool, { dryRun: false, removeDamaged: true, removeUnfinished: false, signal });
    assert.deepEqual(findFaults(pool), []);
    assert.deepEqual(
      pool.snapshots('data').map(({ snapshot: name }) => name),
      ['a'],
    );
  });
});
