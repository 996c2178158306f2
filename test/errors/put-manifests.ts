/** What another program would have put into a repository: policies, and snapshots of files. */
import { openBlobStore } from '../../src/blobs/open-blob-store.ts';
import { encodeDirectory } from '../../src/repository/manifest/directory.ts';
import { policyLabels } from '../../src/repository/manifest/policy.ts';
import { encodeSnapshot, listSnapshots } from '../../src/repository/manifest/snapshot.ts';
import { directObjectId } from '../../src/repository/object/object-id.ts';
import { Repository } from '../../src/repository/repository.ts';
import { systemClock as clock } from '../../src/std/clock.ts';
import type { JsonValue } from '../../src/std/lossless-json.ts';
import { systemRng as rng } from '../../src/std/rng.ts';
import type { DrayPlace } from '../support/run-dray.ts';

const { signal } = new AbortController();
const identity = { userName: 'tester', host: 'here' };

export async function inRepository<T>(
  { repository: path, password, cache: cacheDirectory }: DrayPlace,
  work: (repository: Repository) => Promise<T>,
): Promise<T> {
  const store = await openBlobStore({ kind: 'directory', path }, { signal, clock, rng });
  await using repository = await Repository.open({ store, clock, rng }, { password, cacheDirectory, signal });
  return await work(repository);
}

/** Replaces the global policy. */
export async function putPolicy(place: DrayPlace, data: JsonValue): Promise<void> {
  await inRepository(place, async (repository) => {
    await using writer = await repository.writer(identity, { signal });
    const set = await repository.manifests.load({ signal });
    for (const { id } of set.find(policyLabels({}))) set.delete(id);
    set.put({ labels: policyLabels({}), data });
    await repository.manifests.save(set, writer);
    await writer.finish();
  });
}

/** Puts a snapshot of two files, after the model of the first one there. @returns its id */
export async function putFiles(place: DrayPlace): Promise<string> {
  return await inRepository(place, async (repository) => {
    const set = await repository.manifests.load({ signal });
    const snapshot = listSnapshots(set).snapshots[0]!;
    await using writer = await repository.writer(identity, { signal });
    const entry = { ...snapshot.rootEntry, type: 'f', summary: undefined };
    const entries = ['a', 'b'].map((name) => ({ ...entry, name }));
    const object = directObjectId(await writer.write('k', encodeDirectory({ entries })));
    const source = { ...snapshot.source, path: '/files' };
    const id = set.put(encodeSnapshot({ ...snapshot, source, rootEntry: { ...snapshot.rootEntry, object } }));
    await repository.manifests.save(set, writer);
    await writer.finish();
    return id;
  });
}
