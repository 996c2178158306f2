/** A volume that is gathered while others go on: nobody is refused, and no history tells of it. */
import assert from 'node:assert/strict';
import { mkdir, open, rm } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { comparePoolSnapshots } from '../../src/changes/pool-changes.ts';
import { checkPool } from '../../src/pool/check-pool.ts';
import { cloneVolume } from '../../src/pool/create-volume.ts';
import { deleteSnapshot } from '../../src/pool/delete-snapshot.ts';
import { deleteVolume } from '../../src/pool/delete-volume.ts';
import { imageFigures } from '../../src/pool/inspect-pool.ts';
import { Pool, type PoolSnapshot } from '../../src/pool/pool.ts';
import { rewriteFragmented } from '../../src/pool/rewrite-fragmented.ts';
import { rewriteVolume, type RewriteResult } from '../../src/pool/rewrite-volume.ts';
import { mapOf } from '../../src/pool/share-copy.ts';
import { watchFragmented } from '../../src/pool/watch-fragmented.ts';
import { systemRng } from '../../src/std/rng.ts';
import { extent } from '../../src/volume/extent.ts';
import { fileSystemsMissing } from '../support/file-system.ts';
import { SimClock } from '../support/sim-clock.ts';
import { run } from '../kernel/loop-device.ts';
import { makeVolume, readAt, signal, smallPool, takeSnapshots, writeAt } from './small-pool.ts';

const mib = 2 ** 20;
const blockBytes = 4096;
const volumeBytes = 160 * mib;
/** No two of them are neighbours. */
const blocks = Array.from({ length: volumeBytes / mib }, (_, at) => at * mib + 64 * blockBytes);

async function scattered(pool: Pool): Promise<string> {
  const image = await makeVolume(pool, 'data', { sizeBytes: volumeBytes });
  await writeAt(image, 0, systemRng.bytes(volumeBytes));
  await takeSnapshots(pool, ['data@first']);
  for (const offset of blocks) await writeAt(image, offset, systemRng.bytes(blockBytes));
  return image;
}

/** Something to happen at each change of the pool, before it has the lock; counted from 1. */
function onChange(pool: Pool, happen: (number: number) => Promise<void>): void {
  let number = 0;
  const change = pool.change.bind(pool);
  pool.change = async (work, options) => {
    number += 1;
    await happen(number);
    return await change(work, options);
  };
}

const rewrite = async (pool: Pool, onProgress: () => void = () => undefined): Promise<RewriteResult> =>
  await rewriteVolume(pool, 'data', { onProgress, signal });

describe('rewriting', { skip: fileSystemsMissing('xfs') }, () => {
  test('snapshots are taken and deleted meanwhile, and differ by what was written between them', async () => {
    await using small = await smallPool(1024 * mib);
    const { pool } = small;
    const image = await scattered(pool);
    let [last] = await takeSnapshots(pool, ['data@s0']);
    let isRunning = true;
    const rewriting = (async (): Promise<void> => {
      // Again and again: what is written meanwhile scatters it anew.
      while (isRunning) await rewrite(pool);
    })();
    rewriting.catch(() => (isRunning = false));
    const compared: [base: PoolSnapshot, target: PoolSnapshot, offset: number][] = [];
    for (let number = 1; number <= 12 && isRunning; number += 1) {
      const offset = blocks[(number * 37) % blocks.length]!;
      await writeAt(image, offset, systemRng.bytes(blockBytes));
      const [now] = await takeSnapshots(pool, [`data@s${number}`]);
      compared.push([last!, now!, offset]);
      last = now;
      if (number === 6) await deleteSnapshot(pool, { volume: 'data', snapshot: 'first' }, { force: false, signal });
    }
    isRunning = false;
    await rewriting;
    await rewrite(pool);
    for (const [base, target, offset] of compared) {
      const { extents } = await comparePoolSnapshots(pool, { base, target }, { signal });
      assert.deepEqual(extents, [{ offset, lengthBytes: blockBytes }], `${base.snapshot} to ${target.snapshot}`);
    }
    assert.ok((await imageFigures(image, { signal })).extents < 40);
  });

  test('what is gathered is not gathered again, however its snapshots share it, nor what lies between holes', async () => {
    await using small = await smallPool(1024 * mib);
    const { pool } = small;
    const image = await scattered(pool);
    assert.ok((await rewrite(pool)).gatheredBytes > 0);
    const { extents, uniqueBytes } = await imageFigures(image, { signal });
    assert.equal(uniqueBytes, blocks.length * blockBytes);
    assert.ok(extents < 40, `${extents} extents`);
    assert.equal((await rewrite(pool)).gatheredBytes, 0);
    const sparse = await makeVolume(pool, 'sparse', { sizeBytes: volumeBytes });
    for (const offset of blocks) await writeAt(sparse, offset, systemRng.bytes(blockBytes));
    const { gatheredBytes } = await rewriteVolume(pool, 'sparse', { onProgress: () => undefined, signal });
    assert.equal(gatheredBytes, 0);
  });

  test('what is written meanwhile keeps only what was just copied from being gathered', async () => {
    await using small = await smallPool(1024 * mib);
    const { pool } = small;
    const image = await scattered(pool);
    const before = await readAt(image, 0, volumeBytes);
    const written = systemRng.bytes(blockBytes);
    // The second change of the pool is the first sharing: all of the volume is written to just before it.
    onChange(pool, async (number) => {
      if (number === 2) for (const offset of blocks) await writeAt(image, offset, written);
    });
    const { gatheredBytes, busyBytes } = await rewrite(pool);
    assert.deepEqual({ gatheredBytes, busyBytes }, { gatheredBytes: volumeBytes - 16 * mib, busyBytes: 16 * mib });
    for (const offset of blocks) before.set(written, offset);
    assert.ok(before.equals(await readAt(image, 0, volumeBytes)));
  });

  test('what is discarded meanwhile is given no blocks', async () => {
    await using small = await smallPool(1024 * mib);
    const { pool } = small;
    const image = await scattered(pool);
    const discarded = extent(40 * mib, 4 * mib);
    // Not copied yet.
    onChange(pool, async (number) => {
      if (number === 2) run('fallocate', '--punch-hole', '-o', '40MiB', '-l', '4MiB', image);
    });
    const { gatheredBytes, busyBytes } = await rewrite(pool);
    assert.deepEqual({ gatheredBytes, busyBytes }, { gatheredBytes: volumeBytes - 4 * mib, busyBytes: 4 * mib });
    await using file = await open(image, 'r');
    assert.deepEqual(await mapOf(file, discarded, { signal }), []);
  });

  test('of a volume of many snapshots less is given to all of them at once', async () => {
    await using small = await smallPool();
    const { pool } = small;
    const image = await makeVolume(pool, 'data');
    await writeAt(image, 0, systemRng.bytes(16 * mib));
    for (let number = 0; number < 33; number += 1) await takeSnapshots(pool, [`data@s${number}`]);
    for (const offset of blocks.slice(0, 16)) await writeAt(image, offset, systemRng.bytes(blockBytes));
    onChange(pool, async (number) => {
      if (number === 2) await writeAt(image, 0, systemRng.bytes(blockBytes));
    });
    assert.equal((await rewrite(pool)).busyBytes, mib / 2);
  });

  test('a watch leaves alone, for ever longer, what is written to faster than it is gathered', async () => {
    await using small = await smallPool();
    const clock = new SimClock(0);
    const pool = Pool.open(small.pool.layout.root, { clock, rng: systemRng });
    const image = await makeVolume(pool, 'data');
    await writeAt(image, 0, systemRng.bytes(16 * mib));
    const scatter = async (): Promise<void> => {
      for (let offset = 0; offset < 16 * mib; offset += mib) await writeAt(image, offset, systemRng.bytes(blockBytes));
    };
    let isBusy = true;
    onChange(pool, async () => {
      if (isBusy) await scatter();
    });
    const begun: number[] = [];
    const ended = new AbortController();
    const watching = watchFragmented(pool, {
      volumes: undefined,
      extentsMax: 10,
      onProgress: (doneBytes) => void (doneBytes === 0 && begun.push(clock.monotonicMs() / 60_000)),
      onRest: () => undefined,
      signal: ended.signal,
    });
    await takeSnapshots(small.pool, ['data@one']);
    await scatter();
    const next = async (): Promise<number> => (await watching.next()).value.restsMs / 60_000;
    assert.deepEqual([await next(), await next(), await next()], [1, 2, 4]);
    assert.deepEqual(begun, [0, 1, 3]);
    isBusy = false;
    assert.equal(await next(), 0);
    await takeSnapshots(small.pool, ['data@two']);
    await scatter();
    assert.equal(await next(), 0);
    assert.deepEqual(begun.slice(3), [7, 7 + 1 / 6]);
    isBusy = true;
    await takeSnapshots(small.pool, ['data@three']);
    await scatter();
    assert.equal(await next(), 1);
    ended.abort();
  });

  test('who only looks at the pool does not take it for something that was left', async () => {
    await using small = await smallPool(1024 * mib);
    const { pool } = small;
    await scattered(pool);
    const looks: ReturnType<typeof checkPool>[] = [];
    const check = { dryRun: true, removeDamaged: false, removeUnfinished: false, signal };
    await rewrite(pool, () => void looks.push(checkPool(pool, check)));
    assert.ok(looks.length > 1);
    for (const { recovered } of await Promise.all(looks)) assert.deepEqual(recovered, []);
  });

  test('what stands in for a snapshot is not opened', async () => {
    await using small = await smallPool(1024 * mib);
    const { pool } = small;
    await scattered(pool);
    await mkdir(pool.layout.snapshot('data', 'none'));
    // A device that does not exist: opening it fails, where that of a pipe would never end.
    run('mknod', pool.layout.snapshotImage('data', 'none'), 'c', '0', '0');
    assert.ok((await rewrite(pool)).gatheredBytes > 0);
  });

  test('a clone, and what it was made of, are gathered only when they are named', async () => {
    await using small = await smallPool(1024 * mib);
    const { pool } = small;
    await scattered(pool);
    const from = { volume: 'data', snapshot: 'first' };
    await cloneVolume(pool, { from, name: 'copy', onDropped: () => undefined, signal });
    const clone = pool.layout.image('copy');
    for (const offset of blocks) await writeAt(clone, offset, systemRng.bytes(blockBytes));
    const gathered = async (volumes: readonly string[] | undefined): Promise<string[]> => {
      const options = { volumes, extentsMax: 10, onProgress: () => undefined, signal };
      return (await Array.fromAsync(rewriteFragmented(pool, options))).map(({ volume }) => volume);
    };
    assert.deepEqual(await gathered(undefined), []);
    // Its record was lost.
    await rm(pool.layout.volumeRecord('data'));
    await checkPool(pool, { dryRun: false, removeDamaged: false, removeUnfinished: false, signal });
    assert.deepEqual(await gathered(undefined), []);
    assert.deepEqual(await gathered(['copy', 'data']), ['copy', 'data']);
    await takeSnapshots(pool, ['copy@later']);
    const later = { volume: 'copy', snapshot: 'later' };
    await cloneVolume(pool, { from: later, name: 'third', onDropped: () => undefined, signal });
    const scatter = async (name: string): Promise<void> => {
      await takeSnapshots(pool, [`${name}@anew`]);
      for (const offset of blocks) await writeAt(pool.layout.image(name), offset, systemRng.bytes(blockBytes));
    };
    for (const name of ['data', 'third']) await scatter(name);
    // What ties these two together is gone.
    await deleteVolume(pool, 'copy', { withSnapshots: true, force: false, signal });
    assert.deepEqual(await gathered(undefined), []);
    await deleteVolume(pool, 'data', { withSnapshots: true, force: false, signal });
    assert.deepEqual(await gathered(undefined), ['third']);
  });

  test('of all volumes, one that is deleted meanwhile is passed over', async () => {
    await using small = await smallPool(1024 * mib);
    const { pool } = small;
    await scattered(pool);
    let deleting: Promise<void> | undefined;
    const onProgress = (): void => {
      deleting ??= deleteVolume(pool, 'data', { withSnapshots: true, force: false, signal });
    };
    const found: string[] = [];
    const options = { volumes: undefined, extentsMax: 10, onProgress, signal };
    for await (const { volume } of rewriteFragmented(pool, options)) found.push(volume);
    await deleting;
    assert.ok(deleting !== undefined);
    assert.deepEqual(found, []);
  });

  test('ends early, and well, when the volume is deleted meanwhile', async () => {
    await using small = await smallPool(1024 * mib);
    const { pool } = small;
    await scattered(pool);
    let looks = 0;
    let deleting: Promise<void> | undefined;
    const { gatheredBytes } = await rewrite(pool, () => {
      looks += 1;
      if (looks === 2) deleting = deleteVolume(pool, 'data', { withSnapshots: true, force: false, signal });
    });
    await deleting;
    assert.ok(gatheredBytes >= 64 * mib && gatheredBytes < volumeBytes, `${gatheredBytes} bytes were gathered`);
    assert.equal(pool.findVolume('data'), undefined);
    await pool.change(({ recovered }) => Promise.resolve(assert.deepEqual(recovered, [])), { signal });
  });
});
