/** What is cloned before a snapshot: most of it, of no single moment, and right whatever is written meanwhile. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { extent } from '../../src/volume/extent.ts';
import { cloneFile } from '../../src/kernel/reflink.ts';
import { fallocate } from '../../src/kernel/sys.ts';
import { cloneStill, stillnessOf } from '../../src/pool/hold-still.ts';
import { preClone } from '../../src/pool/pre-clone.ts';
import { mapOf } from '../../src/pool/share-copy.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { seededRng } from '../../src/std/rng.ts';
import { run } from '../kernel/loop-device.ts';
import { fileSystemsMissing, mountedFileSystem } from '../support/file-system.ts';
import { makeVolume, mountedVolume, signal, smallPool } from './small-pool.ts';

const block = 4096;
const punchHole = 0x03;
const zeroRange = 0x10;

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
    const from = await open(join(folder, 'from'), 'wx+');
    const to = await open(join(folder, 'to'), 'wx+');
    const pair = new Pair(folder, { from, to, extents });
    await from.truncate(extents * 2 * block);
    for (let index = 0; index < extents; index += 1) await pair.write(index * 2, index);
    await from.sync();
    return pair;
  }

  async write(at: number, value: number): Promise<void> {
    await this.from.write(Buffer.alloc(block, value), 0, block, at * block);
  }

  async preClone(): Promise<void> {
    await preClone({ fromFd: this.from.fd, toFd: this.to.fd }, { signal });
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

describe('a clone made beforehand', { skip: fileSystemsMissing('xfs', 'btrfs', 'ext4') }, () => {
  test('has the blocks of all pieces of its source', async () => {
    await using fileSystem = await mountedFileSystem('xfs', 0);
    await using pair = await Pair.make(fileSystem.path, 2100);
    await pair.preClone();
    const places = await pair.places('to');
    assert.equal(places.length, 2100);
    assert.deepEqual(places, await pair.places('from'));
    assert.deepEqual(await pair.content('to'), await pair.content('from'));
  });

  test('is made equal by the whole clone, whatever was written, discarded and zeroed meanwhile', async () => {
    await using fileSystem = await mountedFileSystem('xfs', 0);
    await using pair = await Pair.make(fileSystem.path, 2400);
    const rng = seededRng(11);
    const change = async (): Promise<void> => {
      for (let count = 0; count < 200; count += 1) {
        const at = Math.floor(rng.uniform() * 4800);
        const range = { offset: at * block, lengthBytes: block };
        if (count % 4 === 0) await fallocate(pair.from.fd, punchHole, range);
        else if (count % 4 === 1) await fallocate(pair.from.fd, zeroRange, range);
        else await pair.write(at, 128 + count);
      }
    };
    await Promise.all([pair.preClone(), change()]);
    await change();
    assert.notDeepEqual(await pair.content('to'), await pair.content('from'));
    await cloneFile(pair.from.fd, pair.to.fd);
    assert.deepEqual(await pair.content('to'), await pair.content('from'));
  });

  test('is not made of few extents, nor where cloning once more would take as long', async () => {
    for (const [kind, extents] of [
      ['xfs', 1900],
      ['btrfs', 2100],
    ] as const) {
      await using fileSystem = await mountedFileSystem(kind, 0);
      await using pair = await Pair.make(fileSystem.path, extents);
      await pair.preClone();
      assert.equal(await pair.toBytes(), 0, kind);
    }
  });

  test('is there before anything is frozen', async () => {
    await using small = await smallPool();
    const { pool, path } = small;
    await makeVolume(pool, 'data', { mkfs: 'ext4' });
    await using inside = await mountedVolume(pool, 'data', 'ext4');
    const stillness = await stillnessOf(pool.volume('data'), { signal });
    await using pair = await Pair.make(path, 2100);
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
    await using pair = await Pair.make(path, 2100);
    const marks: number[] = [];
    const clone = {
      stillness,
      toFd: pair.to.fd,
      // Asked for by each who clones: first beforehand, then by the guard.
      get fromFd(): number {
        marks.push(readdirSync(pool.layout.staging).length);
        return pair.from.fd;
      },
    };
    await cloneStill(pool, [clone], { boundMs: 20_000, signal });
    assert.deepEqual(marks, [0, 1]);
    assert.deepEqual(readdirSync(pool.layout.staging), []);
  });
});
