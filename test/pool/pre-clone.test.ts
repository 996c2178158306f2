/** What is cloned before a snapshot: most of it, of no single moment, and right whatever is written meanwhile. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { extent } from '../../src/volume/extent.ts';
import type { LoopDevice } from '../../src/kernel/loop-device.ts';
import { cloneFile } from '../../src/kernel/reflink.ts';
import { fallocate } from '../../src/kernel/sys.ts';
import { attachVolume, detachVolume } from '../../src/pool/attach.ts';
import { cloneStill, stillnessOf } from '../../src/pool/hold-still.ts';
import type { Pool } from '../../src/pool/pool.ts';
import { cloneInPieces, isWorthwhile, preClone } from '../../src/pool/pre-clone.ts';
import { mapOf } from '../../src/pool/share-copy.ts';
import { systemClock } from '../../src/std/clock.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { seededRng } from '../../src/std/rng.ts';
import { run } from '../kernel/loop-device.ts';
import { fileSystemsMissing, mountedFileSystem } from '../support/file-system.ts';
import { makeVolume, mountedVolume, signal, smallPool } from './small-pool.ts';

const block = 4096;
const punchHole = 0x03;
const zeroRange = 0x10;
const parts = { clock: systemClock, signal };

/** Two files: one with every second block written, so that no two extents are one, and an empty one. */
class Pair implements AsyncDisposable {
  readonly from: FileHandle;
  readonly to: FileHandle;
  readonly extents: number;
  readonly #folder: string;

  private constructor(folder: string, { from, to, extents }: { from: FileHandle; to: FileHandle; extents: number }) {
    this.#folder = folder;
    this.from = from;
    this.to = to;
    this.extents = extents;
  }

  static async make(folder: string, extents: number): Promise<Pair> {
    const from = await open(join(folder, 'from'), 'w+');
    const to = await open(join(folder, 'to'), 'w+');
    const pair = new Pair(folder, { from, to, extents });
    await from.truncate(extents * 2 * block);
    for (let index = 0; index < extents; index += 1) await pair.write(index * 2, index);
    await from.sync();
    return pair;
  }

  async write(at: number, value: number): Promise<void> {
    await this.from.write(Buffer.alloc(block, value), 0, block, at * block);
  }

  get clone(): { readonly fromFd: number; readonly toFd: number } {
    return { fromFd: this.from.fd, toFd: this.to.fd };
  }

  /** Where the blocks of a file are, as numbers. */
  async places(file: 'from' | 'to'): Promise<number[][]> {
    const map = await mapOf(this[file], extent(0, this.extents * 2 * block), { signal });
    return map.map(({ logical, physical, lengthBytes }) => [logical, physical, lengthBytes]);
  }

  async content(file: 'from' | 'to'): Promise<Buffer> {
    return await readFile(join(this.#folder, file));
  }

  async toBytes(): Promise<number> {
    return (await stat(join(this.#folder, 'to'))).size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.from.close();
    await this.to.close();
  }
}

/** The device of a volume without a file system. */
async function attachedVolume(pool: Pool): Promise<AsyncDisposable & LoopDevice> {
  await makeVolume(pool, 'data');
  const { device } = await attachVolume(pool, 'data', { readOnly: false, signal });
  return { ...device, [Symbol.asyncDispose]: async () => void (await detachVolume(pool, 'data', { signal })) };
}

describe('a clone made beforehand', { skip: fileSystemsMissing('xfs', 'btrfs', 'ext4') }, () => {
  test('has the blocks of all pieces of its source', async () => {
    await using fileSystem = await mountedFileSystem('xfs', 0);
    await using pair = await Pair.make(fileSystem.path, 300);
    await cloneInPieces(pair.clone, { signal });
    const places = await pair.places('to');
    assert.equal(places.length, 300);
    assert.deepEqual(places, await pair.places('from'));
    assert.deepEqual(await pair.content('to'), await pair.content('from'));
  });

  test('is made equal by the whole clone, whatever was written, discarded and zeroed meanwhile', async () => {
    await using fileSystem = await mountedFileSystem('xfs', 0);
    await using pair = await Pair.make(fileSystem.path, 600);
    const rng = seededRng(11);
    const change = async (): Promise<void> => {
      for (let count = 0; count < 200; count += 1) {
        const at = Math.floor(rng.uniform() * 1200);
        const range = { offset: at * block, lengthBytes: block };
        if (count % 4 === 0) await fallocate(pair.from.fd, punchHole, range);
        else if (count % 4 === 1) await fallocate(pair.from.fd, zeroRange, range);
        else await pair.write(at, 128 + count);
      }
    };
    await Promise.all([cloneInPieces(pair.clone, { signal }), change()]);
    await change();
    assert.notDeepEqual(await pair.content('to'), await pair.content('from'));
    await cloneFile(pair.from.fd, pair.to.fd);
    assert.deepEqual(await pair.content('to'), await pair.content('from'));
  });

  test('is not made of few extents, nor where cloning once more would take as long', async () => {
    await using small = await smallPool();
    await using device = await attachedVolume(small.pool);
    const { deviceNumber } = device;
    for (const [kind, extents, isMade] of [
      ['xfs', 4000, false],
      ['xfs', 4200, true],
      ['btrfs', 4200, false],
    ] as const) {
      await using fileSystem = await mountedFileSystem(kind, 0);
      await using pair = await Pair.make(fileSystem.path, extents);
      await preClone([{ ...pair.clone, deviceNumber }], { ...parts, writeOut: async () => {} });
      assert.equal((await pair.toBytes()) > 0, isMade, `${kind} ${extents}`);
    }
  });

  test('of a volume that is written to is made of fewer extents, unless too much is written', async () => {
    await using small = await smallPool();
    const { pool, path } = small;
    await using device = await attachedVolume(pool);
    const { deviceNumber } = device;
    await using written = await open(device.path, 'r+');
    const write = async (blocks: number): Promise<void> => {
      // Apart from each other: none is one write with the next.
      for (let at = 0; at < blocks; at += 1) await written.write(Buffer.alloc(block, at), 0, block, at * 2 * block);
      await written.datasync();
    };
    for (const [blocks, isMade] of [
      [1, true],
      [2000, false],
    ] as const) {
      await using pair = await Pair.make(path, 2000);
      let rounds = 0;
      const writeOut = async (): Promise<void> => {
        rounds += 1;
        await write(rounds === 1 ? 1 : blocks);
      };
      await preClone([{ ...pair.clone, deviceNumber }], { ...parts, writeOut });
      assert.equal((await pair.toBytes()) > 0, isMade, `${blocks} writes`);
    }
  });

  test('is worth its time where little is written for the number of extents, and for the time of others', () => {
    const worth = (extents: number, writesPerSecond: number, totalExtents = extents): boolean =>
      isWorthwhile({ extents, totalExtents, writesPerSecond });
    assert(worth(6400, 1000));
    assert(!worth(6400, 3000));
    assert(!worth(800, 1000));
    assert(worth(100_000, 1000));
    assert(!worth(100_000, 5000));
    assert(worth(2000, 400));
    assert(!worth(2000, 400, 100_000));
  });

  test('is there before anything is frozen', async () => {
    await using small = await smallPool();
    const { pool, path } = small;
    await makeVolume(pool, 'data', { mkfs: 'ext4' });
    await using inside = await mountedVolume(pool, 'data', 'ext4');
    const stillness = await stillnessOf(pool.volume('data'), { signal });
    await using pair = await Pair.make(path, 4200);
    // Somebody else holds it frozen: ours is refused.
    run('fsfreeze', '-f', inside.mountPoint);
    try {
      const clones = [{ stillness, fromFd: pair.from.fd, toFd: pair.to.fd }];
      await assert.rejects(cloneStill(pool, clones, { boundMs: 20_000, signal }), (error: unknown) =>
        hasCode(error, 'pool-freeze'),
      );
    } finally {
      run('fsfreeze', '-u', inside.mountPoint);
    }
    assert.deepEqual(await pair.places('to'), await pair.places('from'));
  });

  test('is made before the mark that has others thaw what they find frozen', async () => {
    await using small = await smallPool();
    const { pool, path } = small;
    await makeVolume(pool, 'data', { mkfs: 'ext4' });
    await using _inside = await mountedVolume(pool, 'data', 'ext4');
    const stillness = await stillnessOf(pool.volume('data'), { signal });
    await using pair = await Pair.make(path, 4200);
    const marks: number[] = [];
    const clone = {
      stillness,
      toFd: pair.to.fd,
      // Asked for by each who clones: beforehand, and then by the guard.
      get fromFd(): number {
        marks.push(readdirSync(pool.layout.staging).length);
        return pair.from.fd;
      },
    };
    await cloneStill(pool, [clone], { boundMs: 20_000, signal });
    assert.equal(marks.pop(), 1);
    assert(marks.length > 0 && marks.every((count) => count === 0));
    assert.deepEqual(readdirSync(pool.layout.staging), []);
  });
});
