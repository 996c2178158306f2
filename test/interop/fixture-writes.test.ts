/**
 * dray writes into repositories of unusual layout and history that kopia made, and kopia finds all of it in order:
 * the snapshots of then, ours, and what maintenance leaves of both.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { copyFixture, readExpected } from '../fixtures/open-fixture.ts';
import { KopiaClient, requireKopia } from '../peers/peers.ts';
import { DrayClient } from './dray-client.ts';
import { image } from './site.ts';

/** Fixture, what is special about it, and options that a backup into it needs. */
const fixtures: readonly (readonly [string, string, ...string[]])[] = [
  ['flat', 'no folders for shards'],
  ['kopia-0.13', 'an old kopia'],
  ['index-v1-with-epochs', 'both index versions in one set'],
  ['epochs', 'all kinds of index blobs'],
  ['maintained', 'deleted and rewritten contents, a deletion watermark'],
  ['manifests', 'a policy that asks for s2', '--compression=zstd'],
  ['interrupted', 'a session of somebody who died'],
  ['incomplete', 'an unfinished snapshot of kopia'],
  ['key-pbkdf2', 'another key derivation'],
  ['password-changed', 'a password that is not ASCII'],
  ['format-v1', 'format version 1, an index without epochs'],
  ['format-v1-compacted', 'compacted indexes without epochs'],
  ['format-v1-upgraded', 'contents of format version 1'],
  ['ecc-1', 'error correction, large shards'],
  ['ecc-20', 'error correction, small shards'],
  ['velero-1.18-fs', "Velero's repository"],
  ['velero-block', "Velero's block volumes"],
];

describe('dray writes into', { concurrency: 2 }, () => {
  for (const [name, what, ...options] of fixtures) {
    test(`fixture ${name} (${what}), and kopia finds it in order`, async (context) => {
      const program = await requireKopia(context);
      if (program === undefined) return;
      const expected = await readExpected(name);
      const [user = '', host = ''] = expected.identity.split('@');
      await using copy = await copyFixture(name);
      await using dray = await DrayClient.open(copy.location.path, expected.password, { user, host });
      await using kopia = await KopiaClient.open(program, copy.location.path);
      const bytes = image(name.length);
      const source = join(copy.folder, 'volume.img');
      await writeFile(source, bytes);
      const { snapshot } = await dray.backup(source, options);

      await kopia.connect(expected.password, { user, host });
      const ids = (await kopia.snapshotList({ incomplete: true })).map(({ id }) => id).toSorted();
      assert.deepEqual(ids, [...expected.snapshots.map(({ id }) => id), snapshot].toSorted());
      await kopia.verify();
      await kopia.contentVerify();
      await kopia.maintenanceFull({ safety: 'none' });
      await kopia.verify();
      const restored = join(copy.folder, 'by-kopia');
      await kopia.restore(snapshot, restored);
      assert.ok(bytes.equals(await readFile(join(restored, 'volume.img'))));
      const again = join(copy.folder, 'again.img');
      await dray.restore(snapshot, again);
      assert.ok(bytes.equals(await readFile(again)));
    });
  }
});
