/** Trees of files that Kopia and Velero have backed up, restored by the program: equal to what Kopia restores of them. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { formatGoTime } from '../../src/std/go-time.ts';
import { restoredOf } from '../fixtures/compare.ts';
import type { RestoredEntry } from '../fixtures/expected.ts';
import { copyFixture, fixtureNames, readExpected } from '../fixtures/open-fixture.ts';
import { DrayClient } from '../interop/dray-client.ts';
import { readDisk } from './read-disk.ts';

/** Only root restores owners. */
const isRoot = process.geteuid?.() === 0;

interface Listed {
  readonly path: string;
  readonly modified: string;
}

/** What a block mover wrote are volumes (`restored-images.test.ts`). */
const names = fixtureNames().filter((name) => name !== 'velero-block');

for (const name of names) {
  test(`fixture ${name} > every snapshot of files is restored as Kopia restores it`, async (context) => {
    const expected = await readExpected(name);
    await using copy = await copyFixture(name);
    await using dray = await DrayClient.open(copy.location.path, expected.password);
    const trees = expected.snapshots.filter(
      // Velero's block mode names its one file by the path of a device.
      ({ id, rootEntry }) => rootEntry.type === 'd' && restoredOf(expected, id).every(({ path }) => path[0] !== '/'),
    );
    context.diagnostic(`${trees.length} snapshots`);
    for (const { id } of trees) {
      const target = join(copy.folder, id);
      await dray.restore(id, `${target}/`);
      const found = await readDisk(target);
      const wanted = restoredOf(expected, id);
      const paths = new Set([...wanted.map(({ path }) => path), '.']);
      assert.deepEqual([...found.keys()].toSorted(), [...paths].toSorted());
      const listed = (await dray.json(['snapshot', 'ls', id, '--recursive'])) as readonly Listed[];
      const times = new Map(listed.map(({ path, modified }) => [path, modified]));
      for (const entry of wanted) compareEntry(found.get(entry.path)!, entry, times.get(entry.path));
    }
  });
}

/**
 * Kopia gives folders the time of the newest thing in them, and links theirs in whole microseconds, rounded up. We give
 * both what the source had, as the snapshot records it.
 */
function compareEntry(found: RestoredEntry, { mtimeNs, uid, gid, ...rest }: RestoredEntry, own?: string): void {
  const { note, ...wanted } = rest;
  assert.ok(note === undefined || note !== '');
  const keys = Object.keys(wanted);
  assert.deepEqual(Object.fromEntries(Object.entries(found).filter(([key]) => keys.includes(key))), wanted);
  if (isRoot && uid !== undefined) assert.deepEqual([found.uid, found.gid], [uid, gid], wanted.path);
  if (mtimeNs === undefined) return;
  if (wanted.type === 'f' || own === undefined) assert.equal(found.mtimeNs, mtimeNs, wanted.path);
  else assert.equal(formatGoTime(BigInt(found.mtimeNs!)), own, wanted.path);
  if (wanted.type === 's') assert.equal((BigInt(found.mtimeNs!) + 999n) / 1000n, BigInt(mtimeNs) / 1000n, wanted.path);
}
