/**
 * Trees of files that Kopia and Velero have backed up, restored: equal to what Kopia restores of them. The first of each
 * repository by the program; the others here, where the key of a repository is derived once.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import type { DirEntry } from '../../src/repository/manifest/dir-entry.ts';
import { decodeDirectory } from '../../src/repository/manifest/directory.ts';
import { resolveSnapshot } from '../../src/repository/manifest/snapshot.ts';
import { readObject } from '../../src/repository/object/object-reader.ts';
import type { Repository } from '../../src/repository/repository.ts';
import { formatGoTime } from '../../src/std/go-time.ts';
import { restoredOf } from '../fixtures/compare.ts';
import type { RestoredEntry } from '../fixtures/expected.ts';
import { copyFixture, fixtureNames, openCopy, readExpected } from '../fixtures/open-fixture.ts';
import { DrayClient } from '../interop/dray-client.ts';
import { withRepository } from '../support/engine.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { readDisk } from './read-disk.ts';
import { restoreTree } from './tree-engine.ts';

const { signal } = new AbortController();

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
    // On the disk: what a file system makes of times depends on the file system.
    await using targets = await temporaryFolder('restored');
    await using repository = await openCopy(copy, { password: expected.password, signal });
    const { opened } = repository;
    const engine = { path: copy.location.path, opened, cache: join(copy.folder, 'here') };
    for (const [index, { id }] of trees.entries()) {
      const target = join(targets.path, id);
      const byProgram = index === 0;
      if (byProgram) await dray.restore(id, `${target}/`);
      else await restoreTree(engine, id, target, { owners: isRoot });
      const found = await readDisk(target);
      const wanted = restoredOf(expected, id);
      const paths = new Set([...wanted.map(({ path }) => path), '.']);
      assert.deepEqual([...found.keys()].toSorted(), [...paths].toSorted());
      const listed = byProgram
        ? ((await dray.json(['snapshot', 'ls', id, '--recursive'])) as readonly Listed[])
        : await withRepository(engine, async (repository) => await listHere(repository, id));
      const times = new Map(listed.map(({ path, modified }) => [path, modified]));
      for (const entry of wanted) compareEntry(found.get(entry.path)!, entry, times.get(entry.path));
    }
  });
}

async function listHere(repository: Repository, id: string): Promise<readonly Listed[]> {
  const list = async (prefix: string, { object }: Pick<DirEntry, 'object'>): Promise<readonly Listed[]> => {
    const bytes = await readObject(repository, object, { maxBytes: 64 * 2 ** 20, signal });
    const lists = decodeDirectory(bytes).entries.map(async (entry) => {
      const path = `${prefix}${entry.name}`;
      const below = entry.type === 'd' ? await list(`${path}/`, entry) : [];
      return [{ path, modified: formatGoTime(entry.modified) }, ...below];
    });
    return (await Promise.all(lists)).flat();
  };
  return await list('', resolveSnapshot(await repository.manifests.load({ signal }), id).rootEntry);
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
