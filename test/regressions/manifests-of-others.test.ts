/**
 * A client that had loaded the manifests long ago compacted them from memory; what others had deleted and compacted
 * away meanwhile was listed again.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { MemoryStore } from '../../src/blobs/memory-store.ts';
import { createFormat } from '../../src/repository/format/format-store.ts';
import type { ManifestSet } from '../../src/repository/manifest/manifest-set.ts';
import { Repository } from '../../src/repository/repository.ts';
import { systemClock as clock } from '../../src/std/clock.ts';
import { systemRng as rng } from '../../src/std/rng.ts';
import { memoryFolder } from '../support/temporary.ts';

const { signal } = new AbortController();
const password = 'secret';
const identity = { userName: 'tester', host: 'test' };

async function change(repository: Repository, set: ManifestSet, apply: (set: ManifestSet) => void): Promise<void> {
  await using writer = await repository.writer(identity, { signal });
  apply(set);
  await repository.manifests.save(set, writer);
  await writer.finish();
}

test('what somebody else has deleted stays deleted, however many manifests a long run writes', async () => {
  await using folder = await memoryFolder('manifests');
  const store = new MemoryStore({ clock });
  await createFormat(store, { password, rng, signal, options: {} });
  const open = async (name: string): Promise<Repository> =>
    await Repository.open({ store, clock, rng }, { password, cacheDirectory: `${folder.path}/${name}`, signal });
  await using longRun = await open('a');
  const put = (name: string) => (set: ManifestSet) => void set.put({ labels: { type: 'test', name }, data: name });
  const early = await longRun.manifests.load({ signal });
  await change(longRun, early, put('doomed'));
  const doomed = early.latest({ name: 'doomed' })!.id;
  {
    await using other = await open('b');
    const set = await other.manifests.load({ signal });
    await change(other, set, (all) => all.delete(doomed));
    for (let n = 0; n < 20; n++) await change(other, set, put(`other ${n}`));
  }
  for (let n = 0; n < 20; n++) await change(longRun, early, put(`own ${n}`));
  await using later = await open('c');
  const found = (await later.manifests.load({ signal })).find({ type: 'test' });
  const expected = ['other', 'own'].flatMap((who) => Array.from({ length: 20 }, (_, n) => `${who} ${n}`));
  assert.deepEqual(new Set(found.map(({ labels }) => labels['name'])), new Set(expected));
  assert.equal(found.length, expected.length);
});
