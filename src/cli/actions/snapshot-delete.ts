import { resolveSnapshot } from '../../repository/manifest/snapshot.ts';
import { CliError } from '../shell/cli-error.ts';
import { exitCodes } from '../shell/exit-code.ts';
import type { SnapshotDeleteOptions } from '../snapshot-delete.ts';
import { changeManifests } from './change-manifests.ts';
import { openRepository, type RepositoryAction } from './open-repository.ts';
import { describeSnapshot } from './snapshot-list.ts';

export const snapshotDelete: RepositoryAction<SnapshotDeleteOptions> = async (context, options, opening) => {
  await using opened = await openRepository(context, opening);
  const { repository } = opened;
  const set = await repository.manifests.load({ signal: context.signal });
  // Two beginnings of one id name one snapshot.
  const named = options.snapshots.map((snapshot) => resolveSnapshot(set, snapshot));
  const found = [...new Map(named.map((snapshot) => [snapshot.id, snapshot])).values()];
  const pinned = found.find(({ pins }) => pins.length > 0);
  if (pinned !== undefined && !options.force) {
    throw new CliError('snapshot-pinned', `snapshot ${pinned.id} is pinned (${pinned.pins.join(', ')})`);
  }
  if (!options.dryRun) {
    await changeManifests(context, { repository, set }, () => found.forEach(({ id }) => set.delete(id)));
  }
  const rows = found.map((snapshot) => ({ ...describeSnapshot(snapshot), dryRun: options.dryRun }));
  await context.output.list(rows, {
    name: ({ id }) => id,
    columns: [
      { header: options.dryRun ? 'WOULD DELETE' : 'DELETED', value: ({ id }) => id },
      { header: 'TIME', value: ({ startTime }) => startTime },
      { header: 'SOURCE', value: ({ source }) => source },
    ],
  });
  return exitCodes.done;
};
