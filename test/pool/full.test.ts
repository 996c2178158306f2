/** Pools that run full: what is refused before, what is given up, and that what was acknowledged stays. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { constants, open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { alignedBuffer } from '../../src/kernel/aligned-memory.ts';
import { fallocate } from '../../src/kernel/sys.ts';
import { attachVolume, detachVolume } from '../../src/pool/attach.ts';
import { checkPool } from '../../src/pool/check-pool.ts';
import { findFaults } from '../../src/pool/find-faults.ts';
import { cloneVolume } from '../../src/pool/create-volume.ts';
import { deleteSnapshot } from '../../src/pool/delete-snapshot.ts';
import { holdSnapshot } from '../../src/pool/hold-image.ts';
import { imageFigures } from '../../src/pool/inspect-pool.ts';
import { Pool, type PoolSnapshot } from '../../src/pool/pool.ts';
import { revertVolume } from '../../src/pool/revert-volume.ts';
import { rewriteVolume } from '../../src/pool/rewrite-volume.ts';
import { roomOf } from '../../src/pool/room.ts';
import { systemClock as clock } from '../../src/std/clock.ts';
import { DrayError, hasCode } from '../../src/std/dray-error.ts';
import { systemRng, type Rng } from '../../src/std/rng.ts';
import { resolveSnapshot } from '../../src/repository/manifest/snapshot.ts';
import { openVolumeSnapshot } from '../../src/transfer/backup-parent.ts';
import { restoreVolume } from '../../src/transfer/pool-restore.ts';
import { createEngine, withRepository, type Engine } from '../support/engine.ts';
import { fileSystemsMissing } from '../support/file-system.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { dataDigest } from '../support/volume-model.ts';
import { backUp } from './back-up.ts';
import { empty, fill } from './ballast.ts';
import { makeVolume, mountedVolume, signal, smallPool, takeSnapshots, writeAt, type SmallPool } from './small-pool.ts';

const mib = 1024 * 1024;
const poolBytes = 320 * mib;
const onDropped = (): void => undefined;
/** FALLOC_FL_PUNCH_HOLE and FALLOC_FL_KEEP_SIZE */
const punchHole = 3;
const need = { kind: 'backup', repository: 'aa', url: '/backups', since: new Date(0).toISOString() } as const;

const isReserve = (error: unknown): boolean => hasCode(error, 'pool-reserve');

async function nothingHalf(pool: Pool): Promise<void> {
  await checkPool(pool, { dryRun: false, removeDamaged: false, removeUnfinished: false, signal });
  assert.deepEqual(await readdir(pool.layout.staging), []);
  assert.deepEqual(findFaults(pool), []);
}

async function writeRandom(image: string, offset: number, lengthBytes: number): Promise<void> {
  await writeAt(image, offset, systemRng.bytes(lengthBytes));
}

describe('a pool without room', { skip: fileSystemsMissing('xfs', 'ext4') }, () => {
  test('refuses below its reserve what needs more, says how much is left, and lets go of snapshots still', async () => {
    await using small = await smallPool(poolBytes);
    const { pool } = small;
    const image = await makeVolume(pool, 'data');
    await writeRandom(image, 0, 8 * mib);
    await takeSnapshots(pool, ['data@mine']);
    const digest = await dataDigest(pool.snapshot('data', 'mine').image);
    const { reserveBytes } = await roomOf(pool);
    fill(small, reserveBytes * 0.8);
    const from = { volume: 'data', snapshot: 'mine' };
    const refused = async (work: Promise<unknown>): Promise<void> =>
      await assert.rejects(work, (error) => isReserve(error) && /\d+ MiB are left/.test((error as Error).message));
    await refused(makeVolume(pool, 'more'));
    await refused(takeSnapshots(pool, ['data@more']));
    await refused(cloneVolume(pool, { from, name: 'more', onDropped, signal }));
    await refused(revertVolume(pool, from, { onDropped, signal }));
    assert.equal(await dataDigest(pool.snapshot('data', 'mine').image), digest);
    assert.deepEqual(
      pool.volumes().map(({ name }) => name),
      ['data'],
    );
    await attachVolume(pool, 'data', { readOnly: false, signal });
    await detachVolume(pool, 'data', { signal });
    // A whole disk is no hindrance to making room.
    fill(small, 0);
    await deleteSnapshot(pool, from, { force: false, signal });
    await nothingHalf(pool);
  });

  test('gives up the oldest bases of backups below half of the reserve, the newest last, and nothing of users', async () => {
    await using small = await smallPool(poolBytes);
    const { pool } = small;
    const image = await makeVolume(pool, 'data', { sizeBytes: 32 * mib });
    const named = ['old', 'read', 'middle', 'new'];
    await writeRandom(image, 0, 4 * mib);
    await takeSnapshots(pool, ['data@mine']);
    for (const name of named) {
      await writeRandom(image, 0, 4 * mib);
      await takeSnapshots(pool, [`data@${name}`], { madeBy: 'backup', needs: [need] });
    }
    await writeRandom(image, 0, 4 * mib);
    await takeSnapshots(pool, ['data@kept'], { needs: [need] });
    await writeRandom(image, 0, 4 * mib);
    const { reserveBytes } = await roomOf(pool);
    const dropped: string[] = [];
    const remember = ({ snapshot: name }: PoolSnapshot): void => void dropped.push(name);
    // Somebody reads one of them: it stays.
    using _held = await holdSnapshot(pool, pool.snapshot('data', 'read'), { signal });
    fill(small, reserveBytes * 0.6);
    await assert.rejects(takeSnapshots(pool, ['data@x'], { onDropped: remember }), isReserve);
    assert.deepEqual(dropped, [], 'bases were given up above half of the reserve');
    fill(small, reserveBytes / 2 - 5 * mib);
    await assert.rejects(takeSnapshots(pool, ['data@x'], { onDropped: remember }), isReserve);
    assert.deepEqual(dropped, ['old', 'middle']);
    fill(small, reserveBytes / 2 - 5 * mib);
    await assert.rejects(takeSnapshots(pool, ['data@x'], { onDropped: remember }), isReserve);
    assert.deepEqual(dropped, ['old', 'middle', 'new']);
    fill(small, 0);
    await assert.rejects(takeSnapshots(pool, ['data@x'], { onDropped: remember }), isReserve);
    const left = pool.snapshots('data').map(({ snapshot: name }) => name);
    assert.deepEqual(left, ['mine', 'read', 'kept']);
    await nothingHalf(pool);
  });

  test('keeps what was synced to a mounted volume that runs full, and the volume goes on when there is room', async () => {
    await using small = await smallPool(poolBytes);
    const { pool } = small;
    await makeVolume(pool, 'data', { sizeBytes: 64 * mib, mkfs: 'ext4' });
    const synced: string[] = [];
    {
      await using inside = await mountedVolume(pool, 'data', 'ext4');
      fill(small, 12 * mib);
      const content = (count: number): Buffer => Buffer.alloc(mib, count + 1);
      for (let count = 0; ; count += 1) {
        try {
          await using file = await open(join(inside.mountPoint, `file${count}`), 'wx');
          await file.write(content(count));
          await file.sync();
        } catch {
          break;
        }
        synced.push(`file${count}`);
        assert.ok(count < 60, 'it never ran full');
      }
      assert.ok(synced.length > 0);
      empty(small);
    }
    await using inside = await mountedVolume(pool, 'data', 'ext4');
    for (const [count, name] of synced.entries()) {
      assert.ok((await readFile(join(inside.mountPoint, name))).equals(Buffer.alloc(mib, count + 1)), name);
    }
    await using file = await open(join(inside.mountPoint, 'again'), 'wx');
    await file.write('there is room again');
    await file.sync();
    await takeSnapshots(pool, ['data@after']);
    await nothingHalf(pool);
  });

  test('keeps what was written to a device that runs full', async () => {
    await using small = await smallPool(poolBytes);
    const { pool } = small;
    const image = await makeVolume(pool, 'raw', { sizeBytes: 64 * mib });
    const { device } = await attachVolume(pool, 'raw', { readOnly: false, signal });
    fill(small, 10 * mib);
    let written = 0;
    {
      await using file = await open(device.path, constants.O_RDWR | constants.O_DIRECT);
      const buffer = alignedBuffer(mib);
      try {
        for (; written < 64; written += 1) {
          buffer.fill(written + 1);
          await file.write(buffer, 0, mib, written * mib);
          await file.sync();
        }
      } catch {
        // It is full, which this is about.
      }
      assert.ok(written > 0 && written < 64, `${written} MiB were written`);
      for (let block = 0; block < written; block += 1) {
        await file.read(buffer, 0, mib, block * mib);
        assert.ok(Buffer.compare(buffer, Buffer.alloc(mib, block + 1)) === 0, `block ${block}`);
      }
    }
    empty(small);
    await detachVolume(pool, 'raw', { signal });
    const bytes = await readFile(image);
    for (let block = 0; block < written; block += 1) assert.equal(bytes[block * mib + 4711], block + 1);
  });
});

/** The n-th time that somebody asks for randomness, which is in the middle of making something, the disk runs full. */
function fillingRng(small: SmallPool, atCall: number): Rng {
  let calls = 0;
  return {
    ...systemRng,
    bytes: (lengthBytes) => {
      calls += 1;
      if (calls === atCall) fill(small, 0);
      return systemRng.bytes(lengthBytes);
    },
  };
}

describe('a pool that runs full in the middle of', { skip: fileSystemsMissing('xfs', 'ext4') }, () => {
  const from = { volume: 'data', snapshot: 'mine' };
  const operations: Readonly<Record<string, (pool: Pool) => Promise<unknown>>> = {
    'a snapshot': async (pool) => await takeSnapshots(pool, ['data@x']),
    'a group': async (pool) => await takeSnapshots(pool, ['data@x', 'other@x']),
    'a clone': async (pool) => await cloneVolume(pool, { from, name: 'x', onDropped, signal }),
    'a new volume': async (pool) => await makeVolume(pool, 'x', { mkfs: 'ext4' }),
    'a revert': async (pool) => await revertVolume(pool, from, { onDropped, signal }),
  };
  for (const [what, work] of Object.entries(operations)) {
    test(`${what} has done it or says that it is full, and nothing is half`, async (t) => {
      await using small = await smallPool(poolBytes);
      const { pool } = small;
      await writeRandom(await makeVolume(pool, 'data'), 0, 8 * mib);
      await makeVolume(pool, 'other');
      await takeSnapshots(pool, ['data@mine']);
      const digest = await dataDigest(pool.snapshot('data', 'mine').image);
      await writeRandom(pool.volume('data').image, 0, mib);
      const before = await dataDigest(pool.volume('data').image);
      let refused = 0;
      for (let atCall = 1; atCall <= 12; atCall += 1) {
        await takeSnapshots(pool, ['data@spare']);
        const filling = Pool.open(pool.layout.root, { clock, rng: fillingRng(small, atCall) });
        const done = await work(filling).then(
          () => true,
          (error: unknown) => {
            assert.ok(error instanceof DrayError, String(error));
            assert.ok(['pool-no-space', 'pool-io', 'pool-freeze'].includes(String(error.code)), String(error));
            refused += 1;
            return false;
          },
        );
        const x = [pool.findVolume('x'), pool.findSnapshot('data', 'x'), pool.findSnapshot('other', 'x')];
        const made = x.filter((one) => one !== undefined).length;
        const expected = what === 'a revert' || !done ? 0 : what === 'a group' ? 2 : 1;
        assert.equal(made, expected, `${made} were made, done: ${done}, full at call ${atCall}`);
        const now = await dataDigest(pool.volume('data').image);
        assert.equal(now, what === 'a revert' && done ? digest : before);
        assert.equal(await dataDigest(pool.snapshot('data', 'mine').image), digest);
        // What a user does then: make room. It works while nothing else does.
        await deleteSnapshot(pool, { volume: 'data', snapshot: 'spare' }, { force: false, signal });
        empty(small);
        await nothingHalf(pool);
        if (done) break;
      }
      t.diagnostic(`${refused} times it was full`);
    });
  }

  test('a rewriting stops for room and has changed nothing', async () => {
    await using small = await smallPool(poolBytes);
    const { pool } = small;
    const image = await makeVolume(pool, 'data');
    for (let block = 0; block < 64; block += 1) await writeRandom(image, ((block * 37) % 64) * 8192, 4096);
    const digest = await dataDigest(image);
    fill(small, (await roomOf(pool)).reserveBytes + 8 * mib);
    const result = await rewriteVolume(pool, 'data', { onProgress: () => undefined, signal });
    assert.deepEqual(result, { gatheredBytes: 0, busyBytes: 0, stoppedForRoom: true });
    assert.equal(await dataDigest(image), digest);
    await nothingHalf(pool);
  });

  test('a rewriting leaves alone what would lie as scattered as before', async () => {
    await using small = await smallPool(poolBytes);
    const { pool } = small;
    const image = await makeVolume(pool, 'data', { sizeBytes: 32 * mib });
    await writeRandom(image, 0, 32 * mib);
    await takeSnapshots(pool, ['data@first']);
    for (let block = 0; block < 64; block += 1) await writeRandom(image, block * 512 * 1024, 4096);
    fill(small, 0);
    await using ballast = await open(join(small.path, 'ballast'), 'r+');
    const { size } = await ballast.stat();
    for (let offset = 0; offset < size; offset += 128 * 1024) {
      await fallocate(ballast.fd, punchHole, { offset, lengthBytes: 64 * 1024 });
    }
    const { extents } = await imageFigures(image, { signal });
    const { availableBytes, reserveBytes } = await roomOf(pool);
    assert.ok(extents > 100 && availableBytes > reserveBytes + 32 * mib);
    const result = await rewriteVolume(pool, 'data', { onProgress: () => undefined, signal });
    assert.deepEqual(result, { gatheredBytes: 0, busyBytes: 0, stoppedForRoom: false });
    assert.equal((await imageFigures(image, { signal })).extents, extents);
  });

  test('a backup ends it well, and a restore goes on when there is room', async () => {
    await using small = await smallPool(poolBytes);
    await using folder = await temporaryFolder('full');
    const engine = await createEngine(folder.path);
    const { pool } = small;
    const image = await makeVolume(pool, 'data', { sizeBytes: 48 * mib });
    await writeRandom(image, 0, 40 * mib);
    const digest = await dataDigest(image);
    let filled = false;
    const { snapshot, poolSnapshot } = await backUp(engine, pool, () => {
      if (!filled) fill(small, 0);
      filled = true;
    });
    assert.ok(filled);
    assert.equal(await dataDigest(poolSnapshot.image), digest);
    empty(small);
    const restored = async (): Promise<void> => await load(engine, small, { snapshot, name: 'copy' });
    const { reserveBytes } = await roomOf(pool);
    fill(small, reserveBytes + 8 * mib);
    await assert.rejects(restored(), isReserve);
    assert.ok((await roomOf(pool)).availableBytes > reserveBytes / 4, 'the room that applications write to was taken');
    assert.equal(pool.findVolume('copy'), undefined);
    assert.equal(readdirSync(pool.layout.staging).length, 1, 'what was restored was thrown away');
    empty(small);
    await restored();
    assert.equal(await dataDigest(pool.volume('copy').image), digest);
    await nothingHalf(pool);
  });
});

async function load(
  engine: Engine,
  { pool }: SmallPool,
  { snapshot, name }: { readonly snapshot: string; readonly name: string },
): Promise<void> {
  await withRepository(engine, async (repository) => {
    const set = await repository.manifests.load({ signal });
    const volume = await openVolumeSnapshot(repository, resolveSnapshot(set, snapshot), { signal });
    const how = { overwrite: false, sectorBytes: 4096, parallel: 1, stateDirectory: engine.cache } as const;
    const store = { kind: 'directory', path: engine.path } as const;
    const callbacks = { onProgress: (): void => undefined, onDropped, signal };
    await restoreVolume(pool, { repository, clock, rng: systemRng }, { volume, name, store, ...how, ...callbacks });
  });
}
