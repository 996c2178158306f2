/** The checkpoints of interrupted runs whose source has changed since stayed for ever, and kept their data alive. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';

import { openBlobStore } from '../../src/blobs/open-blob-store.ts';
import { encodeSnapshot, listSnapshots } from '../../src/repository/manifest/snapshot.ts';
import { Repository } from '../../src/repository/repository.ts';
import { systemClock as clock } from '../../src/std/clock.ts';
import { systemRng as rng } from '../../src/std/rng.ts';
import { drayJson } from '../support/run-dray.ts';
import { memoryFolder } from '../support/temporary.ts';
import { writeVolume } from '../support/volume-model.ts';

const { signal } = new AbortController();
const identity = { userName: 'tester', host: 'test' };

test('a complete snapshot takes the place of all earlier checkpoints of its source, and of no other', async () => {
  await using folder = await memoryFolder('old-checkpoints');
  const place = { repository: join(folder.path, 'r'), cache: join(folder.path, 'c'), password: 'secret' };
  const images = [join(folder.path, 'one'), join(folder.path, 'two')] as const;
  await drayJson(place, ['repository', 'create']);
  for (const image of images) {
    await writeVolume(image, { sizeBytes: 5000, pieces: [] });
    await drayJson(place, ['backup', image]);
  }
  {
    const store = await openBlobStore({ kind: 'directory', path: place.repository }, { signal, clock, rng });
    const { password, cache: cacheDirectory } = place;
    await using repository = await Repository.open({ store, clock, rng }, { password, cacheDirectory, signal });
    await using writer = await repository.writer(identity, { signal });
    const set = await repository.manifests.load({ signal });
    for (const snapshot of listSnapshots(set).snapshots) {
      set.put(encodeSnapshot({ ...snapshot, incomplete: 'checkpoint' }));
    }
    await repository.manifests.save(set, writer);
    await writer.finish();
  }
  await drayJson(place, ['backup', images[0]]);
  const listed = await drayJson<{ source: string; incomplete?: string }[]>(place, ['snapshot', 'list', '--incomplete']);
  const left = listed.filter(({ incomplete }) => incomplete !== undefined).map(({ source }) => source);
  assert.equal(left.length, 1);
  assert.match(left[0]!, /two$/);
});
