import { treeChanges } from '../../changes/tree.ts';
import { resolveSnapshot } from '../../repository/manifest/snapshot.ts';
import { openVolumeSnapshot } from '../../transfer/backup-parent.ts';
import type { ChangesOptions } from '../changes.ts';
import { exitCodes } from '../shell/exit-code.ts';
import { openRepository, type RepositoryAction } from './open-repository.ts';
import { printChanges } from './print-changes.ts';

/** What `dray changes` and `dray snapshot diff` say of two snapshots in the repository. */
export const changes: RepositoryAction<ChangesOptions> = async (context, { from, to }, opening) => {
  const { signal, clock } = context;
  await using opened = await openRepository(context, opening, { cached: true });
  const { repository } = opened;
  const set = await repository.manifests.load({ signal });
  const side = async (name: string) => {
    const volume = await openVolumeSnapshot(repository, resolveSnapshot(set, name), { signal });
    return { id: volume.snapshot.id, object: volume.object, sizeBytes: volume.sizeBytes, layout: volume.tags.layout };
  };
  const startedMs = clock.monotonicMs();
  const [before, after] = [await side(from), await side(to)];
  const { extents } = await treeChanges(repository, { before, after }, { signal });
  const durationMs = clock.monotonicMs() - startedMs;
  const compared = { parent: before.id, snapshot: after.id };
  await printChanges(context, compared, { rung: 'tree', extents, sizeBytes: after.sizeBytes, durationMs });
  return exitCodes.done;
};
