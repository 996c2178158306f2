import assert from 'node:assert/strict';
import { open, readFile, writeFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { countExtents, extentFlags, mapExtents } from '../../src/kernel/extent-map.ts';
import type { MappedExtent } from '../../src/kernel/extent-map.ts';
import { cloneFile, cloneRange, dedupeRange } from '../../src/kernel/reflink.ts';
import { fallocate } from '../../src/kernel/sys.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { fileSystemsMissing, mountedFileSystem } from '../support/file-system.ts';

const signal = AbortSignal.timeout(120_000);
const block = 4096;
const { unwritten, shared } = extentFlags;
const whole = { offset: 0, lengthBytes: 64 * block };

/** A file of 64 blocks with every second one written: no two extents can be one. */
async function combFile(path: string): Promise<FileHandle> {
  const file = await open(path, 'wx+');
  await file.truncate(whole.lengthBytes);
  for (let index = 0; index < 64; index += 2) await file.write(Buffer.alloc(block, index + 1), 0, block, index * block);
  return file;
}

async function mapAll(fd: number, extentsMax: number): Promise<MappedExtent[]> {
  const all: MappedExtent[] = [];
  for (let offset = 0; offset < whole.lengthBytes;) {
    const page = await mapExtents(fd, { offset, lengthBytes: whole.lengthBytes - offset }, { extentsMax, signal });
    assert(page.coveredTo > offset);
    all.push(...page.extents);
    offset = page.coveredTo;
  }
  return all;
}

const places = (extents: readonly MappedExtent[]): number[][] =>
  extents.map(({ logical, physical, lengthBytes }) => [logical, physical, lengthBytes]);

for (const kind of ['xfs', 'btrfs'] as const) {
  describe(`reflinks and extent maps on ${kind}`, { skip: fileSystemsMissing(kind) }, () => {
    test('a map tells what was just written, in pages as in one piece', async () => {
      await using fileSystem = await mountedFileSystem(kind, 0);
      await using file = await combFile(join(fileSystem.path, 'comb'));
      const extents = await mapAll(file.fd, 100);
      const blocks = Array.from({ length: 32 }, (_, index) => index * 2 * block);
      assert.deepEqual(
        extents.map(({ logical }) => logical),
        blocks,
      );
      assert(extents.every(({ lengthBytes, physical, flags }) => lengthBytes === block && physical > 0 && flags < 2));
      assert.deepEqual(await mapAll(file.fd, 5), extents);
      assert.equal(await countExtents(file.fd), 32);
      const inner = await mapExtents(
        file.fd,
        { offset: 8 * block + 512, lengthBytes: 3 * block },
        { extentsMax: 9, signal },
      );
      assert.deepEqual(places(inner.extents), [
        [8 * block + 512, (extents[4]?.physical ?? 0) + 512, block - 512],
        [10 * block, extents[5]?.physical, block],
      ]);
      // btrfs says nothing of the hole behind the last extent: that is another page.
      assert(inner.coveredTo >= 11 * block);
    });

    test('what is only promised says so, and an empty file is all hole', async () => {
      await using fileSystem = await mountedFileSystem(kind, 0);
      await using file = await open(join(fileSystem.path, 'promised'), 'wx+');
      await file.truncate(whole.lengthBytes);
      assert.deepEqual(await mapExtents(file.fd, whole, { extentsMax: 4, signal }), {
        extents: [],
        coveredTo: whole.lengthBytes,
      });
      await fallocate(file.fd, 0, { offset: block, lengthBytes: 2 * block });
      const [extent, ...rest] = (await mapExtents(file.fd, whole, { extentsMax: 4, signal })).extents;
      assert.deepEqual([extent?.logical, extent?.lengthBytes, rest.length], [block, 2 * block, 0]);
      assert(((extent?.flags ?? 0) & unwritten) !== 0);
    });

    test('a clone has the blocks of its source until one of the two is written to', async () => {
      await using fileSystem = await mountedFileSystem(kind, 0);
      await using source = await combFile(join(fileSystem.path, 'comb'));
      await using clone = await open(join(fileSystem.path, 'clone'), 'wx+');
      await cloneFile(source.fd, clone.fd);
      const [before, after] = [await mapAll(source.fd, 100), await mapAll(clone.fd, 100)];
      assert.deepEqual(places(after), places(before));
      assert(after.every(({ flags }) => (flags & shared) !== 0));
      const path = join(fileSystem.path, 'clone');
      assert.deepEqual(await readFile(path), await readFile(join(fileSystem.path, 'comb')));

      await source.write(Buffer.alloc(block, 255), 0, block, 0);
      const changed = await mapAll(source.fd, 100);
      assert.notEqual(changed[0]?.physical, before[0]?.physical);
      assert.deepEqual(places(changed.slice(1)), places(before.slice(1)));
      assert.equal((await readFile(path))[0], 1);
    });

    test('a part can be cloned to another place', async () => {
      await using fileSystem = await mountedFileSystem(kind, 0);
      await using source = await combFile(join(fileSystem.path, 'comb'));
      await using other = await open(join(fileSystem.path, 'other'), 'wx+');
      await cloneRange({ fd: source.fd, offset: 4 * block }, { fd: other.fd, offset: 8 * block }, block);
      const [extent] = await mapAll(other.fd, 100);
      assert.deepEqual([extent?.logical, extent?.physical], [8 * block, (await mapAll(source.fd, 100))[2]?.physical]);
    });

    test('equal ranges come to share their blocks, different ones stay as they are', async () => {
      await using fileSystem = await mountedFileSystem(kind, 0);
      await using one = await open(join(fileSystem.path, 'one'), 'wx+');
      await using two = await open(join(fileSystem.path, 'two'), 'wx+');
      for (const file of [one, two]) await file.write(Buffer.alloc(8 * block, 7), 0, 8 * block, 0);
      await two.write(Buffer.alloc(block, 8), 0, block, 6 * block);
      const start = { fd: one.fd, offset: 0 };
      assert.deepEqual(await dedupeRange(start, { fd: two.fd, offset: 0 }, 4 * block), {
        dedupedBytes: 4 * block,
        same: true,
      });
      const later = { fd: one.fd, offset: 4 * block };
      assert.equal((await dedupeRange(later, { fd: two.fd, offset: 4 * block }, 4 * block)).same, false);
      const [ours, theirs] = [await mapAll(one.fd, 100), await mapAll(two.fd, 100)];
      assert.equal(theirs[0]?.physical, ours[0]?.physical);
      assert.deepEqual((await readFile(join(fileSystem.path, 'two')))[6 * block], 8);
      const past = dedupeRange(start, { fd: one.fd, offset: 4 * block }, 64 * block);
      await assert.rejects(past, (error) => hasCode(error, 'kernel-unsupported'));
    });
  });
}

test('reflinks > ext4 has none and says so', { skip: fileSystemsMissing('ext4') }, async () => {
  await using fileSystem = await mountedFileSystem('ext4', 0);
  await writeFile(join(fileSystem.path, 'one'), 'one');
  await using source = await open(join(fileSystem.path, 'one'), 'r');
  await using clone = await open(join(fileSystem.path, 'clone'), 'wx+');
  await assert.rejects(cloneFile(source.fd, clone.fd), (error) => hasCode(error, 'kernel-unsupported'));
  assert.equal(await countExtents(clone.fd), 0);
});
