/** Comparing where a file system keeps two files, on real ones, against a comparison of every byte. */
import assert from 'node:assert/strict';
import { ftruncateSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { test } from 'node:test';

import { compareExtents } from '../../src/changes/extents.ts';
import { hasCode } from '../../src/std/dray-error.ts';
import { extent } from '../../src/volume/extent.ts';
import { totalBytes } from '../../src/volume/extents.ts';
import { fileSystemsMissing, mountedFileSystem, type FileSystemKind } from '../support/file-system.ts';
import { blockBytes, compareFiles, judge, noise, RealVolume } from './real-files.ts';

const skip = fileSystemsMissing('xfs', 'btrfs');
const mib = 1024 * 1024;

for (const kind of ['xfs', 'btrfs'] as const satisfies readonly FileSystemKind[]) {
  test(`extents on ${kind} > name exactly the blocks that were written to`, { skip }, async () => {
    await using mounted = await mountedFileSystem(kind, 0);
    const volume = new RealVolume(mounted.path);
    await volume.resize(8 * mib);
    await volume.write(0, noise('base', 1024));
    const base = await volume.snapshot('base');
    assert.deepEqual((await compareFiles(base, base)).extents, []);

    await volume.write(16 * blockBytes, noise('a'));
    await volume.write(17 * blockBytes + 100, Buffer.from('in the middle of a block'));
    await volume.write(6 * mib, noise('into the hole', 2));
    const target = await volume.snapshot('target');
    const { extents, mappedExtents, moved } = await compareFiles(base, target);
    assert.deepEqual(extents, [extent(16 * blockBytes, 2 * blockBytes), extent(6 * mib, 2 * blockBytes)]);
    assert.ok(mappedExtents >= 4 && !moved);
    assert.deepEqual((await judge(base, target, extents)).missed, []);
    assert.equal(totalBytes((await compareFiles(target, base)).extents), 4 * blockBytes, 'the other way round too');
  });
}

test('extents > files of two file systems, and what is written to meanwhile, are refused', { skip }, async () => {
  await using mounted = await mountedFileSystem('xfs', 0);
  await using other = await mountedFileSystem('xfs', 0);
  const volume = new RealVolume(mounted.path);
  const elsewhere = new RealVolume(other.path);
  for (const each of [volume, elsewhere]) {
    await each.resize(mib);
    await each.write(0, noise('equal', 4));
    await each.flush();
  }
  const refused = (why: RegExp) => (error: unknown) =>
    hasCode(error, 'changes-incomparable') && why.test(error.message);
  // The two would have the same addresses.
  await assert.rejects(compareFiles(volume.path, elsewhere.path), refused(/not on one file system/));

  const base = await volume.snapshot('base');
  await using before = await open(base);
  await using after = await open(volume.path, 'r+');
  const sides = [
    { fd: before.fd, sizeBytes: mib },
    { fd: after.fd, sizeBytes: mib },
  ] as const;
  const { signal } = new AbortController();
  const comparing = compareExtents(...sides, { signal });
  ftruncateSync(after.fd, 2 * mib);
  await assert.rejects(comparing, refused(/the target was written to/));
  await assert.rejects(
    compareExtents({ ...sides[0], sizeBytes: 3 * mib }, sides[1], { signal }),
    refused(/the base is shorter/),
  );
  await using folder = await open(mounted.path);
  await assert.rejects(
    compareExtents(sides[0], { fd: folder.fd, sizeBytes: 0 }, { signal }),
    refused(/not a regular file/),
  );
});
