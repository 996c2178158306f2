/** A repository opened in this process, for tests that hold it while others write. */
import { join } from 'node:path';

import { openBlobStore } from '../../src/blobs/open-blob-store.ts';
import { Repository } from '../../src/repository/repository.ts';
import { systemClock } from '../../src/std/clock.ts';
import { systemRng } from '../../src/std/rng.ts';
import { identity, password, type Site } from './site.ts';

/** @param name of the cache; readers that hold a repository at once each have one */
export async function openReader(site: Site, name: string, signal: AbortSignal): Promise<Repository> {
  const parts = { clock: systemClock, rng: systemRng };
  const store = await openBlobStore({ kind: 'directory', path: site.repository }, { signal, ...parts });
  const cacheDirectory = join(site.folder, name);
  return await Repository.open({ store, ...parts }, { password, cacheDirectory, signal });
}

/** Changes a manifest that means nothing to anybody, `count` times, each in a session of its own. */
export async function writeManifests(repository: Repository, count: number, signal: AbortSignal): Promise<void> {
  for (let index = 0; index < count; index += 1) {
    const set = await repository.manifests.load({ signal });
    const labels = { type: 'test', number: String(index) };
    set.put({ labels, data: { index } });
    await using writer = await repository.writer({ userName: identity.user, host: identity.host }, { signal });
    await repository.manifests.save(set, writer);
    await writer.finish();
  }
}
