import { resolveSnapshot } from '../../repository/manifest/snapshot.ts';
import { diffTrees } from '../../repository/tree/tree-diff.ts';
import { openVolumeSnapshot } from '../../transfer/backup-parent.ts';
import { totalBytes } from '../../volume/extents.ts';
import { exitCodes } from '../shell/exit-code.ts';
import { formatSize } from '../shell/sizes.ts';
import type { SnapshotDiffOptions } from '../snapshot-diff.ts';
import { openRepository, type RepositoryAction } from './open-repository.ts';

/** In JSON, the form that `dray backup --changes` reads. */
export const snapshotDiff: RepositoryAction<SnapshotDiffOptions> = async (context, options, opening) => {
  const { signal } = context;
  await using opened = await openRepository(context, opening, { cached: true });
  const { repository } = opened;
  const set = await repository.manifests.load({ signal });
  const side = async (name: string) => {
    const volume = await openVolumeSnapshot(repository, resolveSnapshot(set, name), { signal });
    return { id: volume.snapshot.id, object: volume.object, sizeBytes: volume.sizeBytes, layout: volume.tags.layout };
  };
  const [before, after] = [await side(options.from), await side(options.to)];
  const extents = await Array.fromAsync(diffTrees(repository, { before, after }, { signal }));
  const rows = extents.map(({ offset, lengthBytes }) => ({ offset, length: lengthBytes }));
  if (context.output.format === 'json' || context.output.format === 'yaml') {
    const value = { parent: before.id, snapshot: after.id, sizeBytes: after.sizeBytes, extents: rows };
    await context.output.record(value, { names: [], fields: [] });
    return exitCodes.done;
  }
  await context.output.list(rows, {
    name: ({ offset, length }) => `${offset}+${length}`,
    columns: [
      { header: 'OFFSET', value: ({ offset }) => String(offset), align: 'right' },
      { header: 'LENGTH', value: ({ length }) => String(length), align: 'right' },
    ],
  });
  context.log.info(`${rows.length} extents, ${formatSize(totalBytes(extents))} of ${formatSize(after.sizeBytes)}`);
  return exitCodes.done;
};
