import { parseSnapshotPath } from '../../repository/manifest/find-entry.ts';
import { resolveSnapshot } from '../../repository/manifest/snapshot.ts';
import type { ContentReader } from '../../repository/object/content-access.ts';
import type { LeafRun } from '../../repository/object/leaf-run.ts';
import { leaves, readRun } from '../../repository/object/object-reader.ts';
import type { ObjectId } from '../../repository/object/object-id.ts';
import { RepositoryError } from '../../repository/repository-error.ts';
import { mapConcurrent } from '../../std/map-concurrent.ts';
import { openContent } from '../../transfer/snapshot-content.ts';
import { exitCodes } from '../shell/exit-code.ts';
import type { SnapshotCatOptions } from '../snapshot-cat.ts';
import { openRepository, type RepositoryAction } from './open-repository.ts';

/** Contents that are read ahead of what standard output takes. */
const readAhead = 4;

export const snapshotCat: RepositoryAction<SnapshotCatOptions> = async (context, options, opening) => {
  const { signal } = context;
  await using opened = await openRepository(context, opening, { cached: true });
  const { repository } = opened;
  const set = await repository.manifests.load({ signal });
  const named = parseSnapshotPath(options.snapshot);
  const snapshot = resolveSnapshot(set, named.snapshot);
  const content = await openContent(repository, { snapshot, path: named.path }, { asFolder: false, signal });
  if (content.kind === 'folder') {
    throw new RepositoryError('snapshot-kind', `${options.snapshot} is a folder`);
  }
  const { object, sizeBytes } = content.volume;
  let left = sizeBytes;
  for await (const bytes of bytesOf(repository, object, signal)) {
    // Velero pads the last block of a volume.
    const wanted = bytes.subarray(0, Math.min(bytes.length, left));
    left -= wanted.length;
    await context.output.write(wanted);
    if (left === 0) break;
  }
  if (left > 0) throw new RepositoryError('corrupt', `object ${object} ends ${left} bytes too early`);
  return exitCodes.done;
};

async function* bytesOf(reader: ContentReader, object: ObjectId, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const contents = (async function* (): AsyncGenerator<LeafRun> {
    for await (const runs of leaves(reader, object, { compressed: true, signal })) {
      for (const run of runs) {
        for (let copy = 0; copy < run.repeat; copy += 1) yield run;
      }
    }
  })();
  yield* mapConcurrent(contents, { limit: readAhead, signal }, async (run, call) => await readRun(reader, run, call));
}
