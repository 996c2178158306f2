/** Several processes at one pool, and devices that somebody uses: each gets what it asked for whole, or one clear error. */
import assert from 'node:assert/strict';
import { mkdir, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { loopsOf } from '../../src/kernel/loop-device.ts';
import { attachSnapshot, attachVolume, detachSnapshot, detachVolume } from '../../src/pool/attach.ts';
import { checkPool } from '../../src/pool/check-pool.ts';
import { findFaults } from '../../src/pool/find-faults.ts';
import { deleteSnapshot } from '../../src/pool/delete-snapshot.ts';
import { deleteVolume } from '../../src/pool/delete-volume.ts';
import { Pool } from '../../src/pool/pool.ts';
import { resizeVolume } from '../../src/pool/resize-volume.ts';
import { revertVolume } from '../../src/pool/revert-volume.ts';
import { DrayError, hasCode } from '../../src/std/dray-error.ts';
import { run } from '../kernel/loop-device.ts';
import { fileSystemsMissing } from '../support/file-system.ts';
import {
  makeVolume,
  mountedVolume,
  readAt,
  signal,
  smallPool,
  startRival,
  takeSnapshots,
  writeAt,
} from './small-pool.ts';

const isInUse = (error: unknown): boolean => hasCode(error, 'pool-in-use');
const mib = 1024 * 1024;

async function nothingHalf(pool: Pool): Promise<void> {
  assert.deepEqual(await readdir(pool.layout.staging), []);
  assert.deepEqual(findFaults(pool), []);
}

/** Lets several begin at the same moment. @returns the last word of each */
async function race(pool: Pool, ...actions: readonly (readonly string[])[]): Promise<string[]> {
  await using stack = new AsyncDisposableStack();
  const rivals = actions.map((args) => stack.use(startRival(pool, ...args)));
  for (const rival of rivals) assert.equal(await rival.next(), 'ready');
  for (const rival of rivals) rival.process.stdin?.write('\n');
  return await Promise.all(rivals.map(async (rival) => await rival.next()));
}

describe('rivals', { skip: fileSystemsMissing('xfs', 'ext4') }, () => {
  test('that snapshot one volume at once each get theirs; of one name one gets it and the other is told', async () => {
    await using small = await smallPool();
    const { pool } = small;
    const image = await makeVolume(pool, 'data');
    await writeAt(image, 0, Buffer.alloc(mib, 5));
    const both = await race(pool, ['snapshot', 'data@a'], ['snapshot', 'data@b']);
    assert.deepEqual(both, ['done', 'done']);
    const same = await race(pool, ['snapshot', 'data@c'], ['snapshot', 'data@c']);
    assert.deepEqual(same.sort(), ['done', 'pool-snapshot-exists']);
    for (const { image: kept } of pool.snapshots('data')) {
      assert.ok((await readAt(kept, 0, mib)).equals(Buffer.alloc(mib, 5)));
    }
    const names = pool.snapshots('data').map(({ snapshot: name }) => name);
    assert.deepEqual(names.sort(), ['a', 'b', 'c']);
    await nothingHalf(pool);
  });

  test('with groups that overlap get both groups, or one of them whole', async () => {
    await using small = await smallPool();
    const { pool } = small;
    for (const name of ['one', 'two', 'three']) await makeVolume(pool, name);
    const apart = await race(pool, ['snapshot', 'one@g', 'two@g'], ['snapshot', 'two@h', 'three@h']);
    assert.deepEqual(apart, ['done', 'done']);
    const clash = await race(pool, ['snapshot', 'one@i', 'two@i'], ['snapshot', 'three@i', 'two@i']);
    assert.deepEqual(clash.sort(), ['done', 'pool-snapshot-exists']);
    const hasBoth = (a: string, b: string): boolean =>
      pool.findSnapshot(a, 'i') !== undefined && pool.findSnapshot(b, 'i') !== undefined;
    assert.equal(hasBoth('one', 'two') !== hasBoth('three', 'two'), true);
    assert.equal(pool.findSnapshot('one', 'i') === undefined, pool.findSnapshot('three', 'i') !== undefined);
    await nothingHalf(pool);
  });

  test('cannot remove a snapshot that one of them reads, not even by force, until he ends or is killed', async () => {
    await using small = await smallPool();
    const { pool } = small;
    await makeVolume(pool, 'data');
    await takeSnapshots(pool, ['data@read']);
    const name = { volume: 'data', snapshot: 'read' };
    await using reader = startRival(pool, 'hold', 'data@read');
    await reader.next();
    reader.process.stdin?.write('\n');
    assert.equal(await reader.next(), 'holds');
    for (const force of [false, true]) {
      await assert.rejects(deleteSnapshot(pool, name, { force, signal }), isInUse);
      await assert.rejects(deleteVolume(pool, 'data', { withSnapshots: true, force, signal }), isInUse);
    }
    assert.ok(pool.findSnapshot('data', 'read') !== undefined);
    await reader.kill();
    await deleteSnapshot(pool, name, { force: false, signal });
    await nothingHalf(pool);
  });

  test('go on when one that held the lock is killed', async () => {
    await using small = await smallPool();
    const { pool } = small;
    await makeVolume(pool, 'data');
    await using holder = startRival(pool, 'change');
    await holder.next();
    holder.process.stdin?.write('\n');
    assert.equal(await holder.next(), 'changing');
    let isTaken = false;
    const waiting = takeSnapshots(pool, ['data@late']).then(() => (isTaken = true));
    // Listing takes no lock.
    assert.deepEqual(
      pool.volumes().map(({ name }) => name),
      ['data'],
    );
    assert.equal(isTaken, false);
    await holder.kill();
    await waiting;
    await nothingHalf(pool);
  });

  test('that only list see whole things while another makes and removes', async () => {
    await using small = await smallPool();
    const { pool } = small;
    await makeVolume(pool, 'data');
    await takeSnapshots(pool, ['data@stays']);
    await using churner = startRival(pool, 'churn', 'data');
    await churner.next();
    churner.process.stdin?.write('\n');
    assert.equal(await churner.next(), 'churning');
    let [seen, unseen] = [0, 0];
    for (let looks = 0; looks < 20_000 || seen === 0 || unseen === 0; looks += 1) {
      assert.equal(pool.volumes().length, 1);
      const names = pool.snapshots('data').map(({ snapshot: name }) => name);
      assert.ok(names.includes('stays'), 'a snapshot that nobody touched was not listed');
      if (names.length > 1) seen += 1;
      else unseen += 1;
    }
    await churner.kill();
    await checkPool(pool, { dryRun: false, removeDamaged: false, removeUnfinished: false, signal });
    await nothingHalf(pool);
  });

  test('get the same device of one volume, and a snapshot is attached read-only', async () => {
    await using small = await smallPool();
    const { pool } = small;
    const image = await makeVolume(pool, 'data');
    const attached = await Promise.all(
      [1, 2, 3].map(async () => await attachVolume(pool, 'data', { readOnly: false, signal })),
    );
    assert.equal(new Set(attached.map(({ device }) => device.path)).size, 1);
    assert.equal(attached.filter(({ made }) => made).length, 1);
    assert.equal((await loopsOf(image, { signal })).length, 1);
    await assert.rejects(attachVolume(pool, 'data', { readOnly: true, signal }), isInUse);
    await takeSnapshots(pool, ['data@a']);
    const name = { volume: 'data', snapshot: 'a' };
    const { device } = await attachSnapshot(pool, name, { signal });
    assert.equal(device.readOnly, true);
    await assert.rejects(deleteSnapshot(pool, name, { force: true, signal }), isInUse);
    await detachSnapshot(pool, name, { signal });
    await detachVolume(pool, 'data', { signal });
    await deleteVolume(pool, 'data', { withSnapshots: true, force: false, signal });
  });

  test('cannot detach, revert, shrink or remove what is mounted or open, and are told by what', async () => {
    await using small = await smallPool();
    const { pool } = small;
    const image = await makeVolume(pool, 'data', { mkfs: 'ext4' });
    await takeSnapshots(pool, ['data@a']);
    const refused = async (reason: RegExp): Promise<void> => {
      await assert.rejects(
        detachVolume(pool, 'data', { signal }),
        (error) => isInUse(error) && error instanceof DrayError && reason.test(error.message),
      );
      const { length } = await loopsOf(image, { signal });
      assert.equal(length, 1, 'it was detached for all that');
      const less = { sizeBytes: 4 * mib, shrink: true, force: true, signal };
      await assert.rejects(resizeVolume(pool, 'data', less), isInUse);
      const revert = revertVolume(pool, { volume: 'data', snapshot: 'a' }, { onDropped: () => undefined, signal });
      await assert.rejects(revert, isInUse);
      await assert.rejects(deleteVolume(pool, 'data', { withSnapshots: true, force: true, signal }), isInUse);
    };
    {
      await using inside = await mountedVolume(pool, 'data', 'ext4');
      await refused(new RegExp(`mounted read-write at ${inside.mountPoint}`));
    }
    const { device } = await attachVolume(pool, 'data', { readOnly: false, signal });
    {
      await using file = await open(device.path, 'r+');
      await refused(new RegExp(`${device.path}.* is open`));
      await file.write(Buffer.alloc(4096, 9), 0, 4096, 8 * mib);
    }
    assert.equal((await loopsOf(image, { signal })).length, 1, 'it was detached behind the back of who had it open');
    await detachVolume(pool, 'data', { signal });
    assert.equal((await readAt(image, 8 * mib, 1))[0], 9, 'a write that was never synced is lost by detaching');
  });

  test('that hold a device by another device keep it', async () => {
    await using small = await smallPool();
    const { pool } = small;
    const image = await makeVolume(pool, 'data', { mkfs: 'ext4' });
    const { device } = await attachVolume(pool, 'data', { readOnly: false, signal });
    const above = run('losetup', '-f', '--show', device.path).trim();
    try {
      await assert.rejects(detachVolume(pool, 'data', { signal }), isInUse);
      assert.equal((await loopsOf(image, { signal })).length, 1);
    } finally {
      run('losetup', '-d', above);
    }
    await detachVolume(pool, 'data', { signal });
  });
});

describe('an unclean reboot', { skip: fileSystemsMissing('xfs', 'ext4') }, () => {
  test('leaves a volume that is attached again, replays its journal and has what was synced', async () => {
    await using small = await smallPool();
    const { pool } = small;
    await makeVolume(pool, 'data', { mkfs: 'ext4' });
    const crashed = join(small.path, 'crashed');
    {
      await using inside = await mountedVolume(pool, 'data', 'ext4');
      await using file = await open(join(inside.mountPoint, 'file'), 'w');
      await file.write('was synced');
      await file.sync();
      // The pool's folder as another machine would find it: a reflink of the volume as it is on its disk now.
      await mkdir(crashed);
      run('cp', '-a', '--reflink=always', `${pool.layout.root}/.`, crashed);
    }
    const again = Pool.open(crashed, pool);
    const { findings } = await checkPool(again, {
      dryRun: false,
      removeDamaged: false,
      removeUnfinished: false,
      signal,
    });
    assert.deepEqual(findings, []);
    assert.match(run('dumpe2fs', '-h', again.volume('data').image), /needs_recovery/, 'there is nothing to replay');
    await using inside = await mountedVolume(again, 'data', 'ext4');
    assert.equal((await readAt(join(inside.mountPoint, 'file'), 0, 100)).toString(), 'was synced');
    await takeSnapshots(again, ['data@after']);
  });
});
