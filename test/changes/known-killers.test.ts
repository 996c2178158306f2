/**
 * Ways in which comparing extents loses changes, each reproduced on a real file system: what a careless comparison
 * would miss is shown where that can be shown, and ours is compared with the bytes.
 */
import assert from 'node:assert/strict';
import { open, rm } from 'node:fs/promises';
import { test } from 'node:test';

import { compareMaps } from '../../src/changes/compare-maps.ts';
import { extentFlags, mapExtents, type MappedExtent } from '../../src/kernel/extent-map.ts';
import { cloneRange } from '../../src/kernel/reflink.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { systemClock } from '../../src/std/clock.ts';
import { extent } from '../../src/volume/extent.ts';
import { run } from '../kernel/loop-device.ts';
import { fileSystemsMissing, mountedFileSystem } from '../support/file-system.ts';
import { blockBytes, compareFiles, compareOpen, judge, letters, noise, RealVolume } from './real-files.ts';

const { signal } = new AbortController();
const skip = fileSystemsMissing('xfs', 'btrfs');
const mib = 1024 * 1024;

async function mapOf(path: string): Promise<readonly MappedExtent[]> {
  await using file = await open(path);
  const range = { offset: 0, lengthBytes: 64 * mib };
  return (await mapExtents(file.fd, range, { extentsMax: 1000, signal })).extents;
}

/** Only the addresses, as a careless comparison takes them. */
function addresses(map: readonly MappedExtent[]): unknown {
  return map.map(({ logical, physical, lengthBytes }) => ({ logical, physical, lengthBytes }));
}

/** A file system gives back the blocks of a deleted file when it comes to it; until then the others share them. */
async function blocksGivenBack(path: string): Promise<void> {
  for (let looks = 0; looks < 500; looks += 1) {
    run('sync', '-f', path);
    if ((await mapOf(path)).every(({ flags }) => (flags & extentFlags.shared) === 0)) return;
    await systemClock.sleep(20, { signal });
  }
  assert.fail('the blocks are still shared');
}

/** Nothing is missed. @returns how many blocks were named */
async function compareAndJudge(base: string, target: string): Promise<{ changed: number; named: number }> {
  const { missed, changedBlocks, namedBlocks } = await judge(base, target, (await compareFiles(base, target)).extents);
  assert.deepEqual(missed, []);
  return { changed: changedBlocks, named: namedBlocks };
}

const inPlace = {
  XFS: { kind: 'xfs', prepare: () => undefined },
  'btrfs without copy-on-write': { kind: 'btrfs', prepare: (path: string) => void run('chattr', '+C', path) },
} as const;

for (const [name, { kind, prepare }] of Object.entries(inPlace)) {
  test(
    `killers > on ${name}, a map kept of a base that is gone calls changes equal; ours takes no map`,
    { skip },
    async () => {
      await using mounted = await mountedFileSystem(kind, 0);
      prepare(mounted.path);
      const volume = new RealVolume(mounted.path);
      await volume.resize(mib);
      await volume.write(0, noise('base', 256));
      await volume.flush();
      const base = await volume.snapshot('base');
      const kept = await mapOf(base);
      const copy = await volume.copy('copy');
      {
        await using held = await open(base);
        await using live = await open(volume.path);
        await rm(base);
        await assert.rejects(
          compareOpen(held, live),
          (error) => hasCode(error, 'changes-incomparable') && /the base was deleted/.test(error.message),
        );
      }
      await blocksGivenBack(volume.path);

      for (const block of [3, 40, 41]) {
        await volume.write(block * blockBytes, noise(`new ${block}`));
        await volume.flush();
      }
      const target = await volume.snapshot('target');
      const maps = { base: kept, target: await mapOf(target), baseAgain: kept };
      const { changed } = compareMaps(maps, { start: 0, end: mib });
      const extents = changed.flatMap((start, index) =>
        index % 2 === 0 ? [extent(start, changed[index + 1]! - start)] : [],
      );
      const { missed } = await judge(copy, target, extents);
      assert.ok(missed.length > 0, 'this is why no map is kept: if none is missed here, the danger is not reproduced');
    },
  );
}

test(
  'killers > parts of a compressed extent have one address: cloned to another place they count as changed',
  { skip },
  async () => {
    await using mounted = await mountedFileSystem('btrfs', 0, { mountOptions: 'compress-force=zstd' });
    const volume = new RealVolume(mounted.path);
    await volume.resize(mib);
    await volume.write(0, letters(128 * 1024, 1));
    await volume.write(512 * 1024, noise('plain', 4));
    await volume.flush();
    const base = await volume.snapshot('base');
    {
      await using file = await open(volume.path, 'r+');
      await cloneRange({ fd: file.fd, offset: 64 * 1024 }, { fd: file.fd, offset: 0 }, 64 * 1024);
    }
    const target = await volume.snapshot('target');
    assert.ok(
      (await mapOf(base)).some(({ flags }) => (flags & extentFlags.encoded) !== 0),
      'it is compressed',
    );
    assert.equal((await compareAndJudge(base, target)).changed, 16);
  },
);

test('killers > a compressed extent that is half new can look as it was', { skip }, async () => {
  await using mounted = await mountedFileSystem('btrfs', 0, { mountOptions: 'compress-force=zstd' });
  const volume = new RealVolume(mounted.path);
  await volume.resize(mib);
  await volume.write(0, letters(128 * 1024, 1));
  await volume.flush();
  const base = await volume.snapshot('base');
  await volume.write(64 * 1024, letters(64 * 1024, 2));
  await volume.flush();
  const target = await volume.snapshot('target');
  assert.deepEqual(addresses(await mapOf(base)), addresses(await mapOf(target)), 'the kernel tells one map for both');
  assert.equal((await compareAndJudge(base, target)).changed, 16);
});

for (const kind of ['xfs', 'btrfs'] as const) {
  test(`killers > on ${kind}, what a live file has in the page cache only is seen`, { skip }, async () => {
    await using mounted = await mountedFileSystem(kind, 0);
    const volume = new RealVolume(mounted.path);
    await volume.resize(4 * mib);
    await volume.write(0, noise('base', 256));
    await volume.flush();
    const base = await volume.snapshot('base');
    await volume.write(9 * blockBytes, noise('over shared blocks', 3));
    await volume.write(2 * mib, noise('over a hole', 2));
    assert.deepEqual(await compareAndJudge(base, volume.path), { changed: 5, named: 5 });
  });

  test(
    `killers > on ${kind}, a volume cut short and made long again has zeros where it had data`,
    { skip },
    async () => {
      await using mounted = await mountedFileSystem(kind, 0);
      const volume = new RealVolume(mounted.path);
      await volume.resize(mib);
      await volume.write(0, noise('base', 256));
      const base = await volume.snapshot('base');
      await volume.resize(100_000);
      const short = await volume.snapshot('short');
      await volume.resize(mib);
      const target = await volume.snapshot('target');
      // 100,000 bytes end within block 24, which was written anew.
      assert.deepEqual(await compareAndJudge(base, target), { changed: 232, named: 232 });
      const shrunk = await compareAndJudge(base, short);
      assert.ok(shrunk.named <= 1, 'what is left, but for the block that was cut');
      await compareAndJudge(short, target);
      await volume.resize(2 * mib - 5);
      await volume.write(mib + 100, noise('new', 3));
      const grown = await volume.snapshot('grown');
      assert.equal((await compareAndJudge(target, grown)).named, 4);
      await compareAndJudge(short, grown);
    },
  );

  test(`killers > on ${kind}, room that is only reserved is a hole until it is written to`, { skip }, async () => {
    await using mounted = await mountedFileSystem(kind, 0);
    const volume = new RealVolume(mounted.path);
    await volume.resize(2 * mib);
    await volume.write(0, noise('base', 16));
    const base = await volume.snapshot('base');
    run('fallocate', '-o', String(mib), '-l', String(mib / 2), volume.path);
    const reserved = await volume.snapshot('reserved');
    assert.deepEqual(await compareAndJudge(base, reserved), { changed: 0, named: 0 });
    await volume.write(mib + 5 * blockBytes, noise('into it'));
    const written = await volume.snapshot('written');
    assert.deepEqual(await compareAndJudge(reserved, written), { changed: 1, named: 1 });
    assert.deepEqual(await compareAndJudge(base, written), { changed: 1, named: 1 });
    run('fallocate', '-p', '-o', String(mib + 5 * blockBytes), '-l', String(blockBytes), volume.path);
    const punched = await volume.snapshot('punched');
    assert.equal((await compareAndJudge(written, punched)).changed, 1);
  });
}

test('killers > a file so short that btrfs keeps it among its own records has no address', { skip }, async () => {
  await using mounted = await mountedFileSystem('btrfs', 0);
  const volume = new RealVolume(mounted.path);
  await volume.resize(0);
  await volume.write(0, Buffer.from('a'.repeat(1000)));
  const base = await volume.snapshot('base');
  await volume.write(10, Buffer.from('bcd'));
  const target = await volume.snapshot('target');
  const isInline = ({ flags }: MappedExtent): boolean => (flags & extentFlags.inline) !== 0;
  assert.ok((await mapOf(base)).some(isInline) && (await mapOf(target)).some(isInline));
  assert.deepEqual(addresses(await mapOf(base)), addresses(await mapOf(target)));
  assert.deepEqual(await compareAndJudge(base, target), { changed: 1, named: 1 });
});

test('killers > what moves blocks names too much, never too little', { skip }, async () => {
  const movers = {
    xfs: (path: string) => void run('xfs_fsr', path),
    btrfs: (path: string) => void run('btrfs', 'filesystem', 'defragment', '-f', path),
  } as const;
  for (const kind of ['xfs', 'btrfs'] as const) {
    await using mounted = await mountedFileSystem(kind, 0);
    const volume = new RealVolume(mounted.path);
    await volume.resize(2 * mib);
    for (let block = 511; block >= 0; block -= 1) {
      await volume.write(block * blockBytes, noise(`${block}`));
      if (block % 64 === 0) await volume.flush();
    }
    const base = await volume.snapshot('base');
    await volume.write(8 * blockBytes, noise('new', 2));
    const target = await volume.snapshot('target');
    movers[kind](base);
    assert.equal((await compareAndJudge(base, target)).changed, 2, `${kind}: the base was moved`);
    movers[kind](target);
    assert.equal((await compareAndJudge(base, target)).changed, 2, `${kind}: both were moved`);
  }
});

const rounds = {
  XFS: { kind: 'xfs', prepare: () => undefined, mountOptions: undefined },
  btrfs: { kind: 'btrfs', prepare: () => undefined, mountOptions: undefined },
  'btrfs, compressed': { kind: 'btrfs', prepare: () => undefined, mountOptions: 'compress-force=zstd' },
  'btrfs without copy-on-write': {
    kind: 'btrfs',
    prepare: (path: string) => void run('chattr', '+C', path),
    mountOptions: undefined,
  },
} as const;

for (const [name, { kind, prepare, mountOptions }] of Object.entries(rounds)) {
  test(`killers > on ${name}, twelve rounds of all that is done to volumes miss no block`, { skip }, async () => {
    await using mounted = await mountedFileSystem(kind, 0, mountOptions === undefined ? {} : { mountOptions });
    prepare(mounted.path);
    const volume = new RealVolume(mounted.path);
    const sizeBytes = 8 * mib;
    await volume.resize(sizeBytes);
    let state = 1;
    const below = (limit: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return Math.floor((state / 2 ** 32) * limit);
    };
    let before: string | undefined;
    for (let round = 0; round < 12; round += 1) {
      for (let step = 0; step < 24; step += 1) {
        const offset = below(sizeBytes / 512) * 512;
        const lengthBytes = Math.min(512 * (1 + below(64)), sizeBytes - offset);
        const range = ['-o', String(offset), '-l', String(lengthBytes), volume.path];
        const kindOfStep = below(8);
        if (kindOfStep === 0) run('fallocate', '-p', ...range);
        else if (kindOfStep === 1 && kind === 'xfs') run('fallocate', '-z', ...range);
        else if (kindOfStep === 2) await volume.write(offset, Buffer.alloc(lengthBytes));
        else if (kindOfStep < 5) await volume.write(offset, letters(lengthBytes, state));
        else await volume.write(offset, noise(`${state}`, 8).subarray(0, lengthBytes));
        if (below(6) === 0) await volume.flush();
      }
      const now = await volume.snapshot(`s${round}`);
      if (before !== undefined) {
        const { changed } = await compareAndJudge(before, now);
        assert.ok(changed > 0);
        // The next round's base is there; what came before it is given back and used again.
        await rm(before);
      }
      before = now;
    }
  });
}
