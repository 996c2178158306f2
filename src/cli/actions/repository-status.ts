import { maintenanceOwner } from '../../repository/manifest/maintenance-params.ts';
import { listSnapshots } from '../../repository/manifest/snapshot.ts';
import { repositoryId } from '../../repository/repository-id.ts';
import type { Repository } from '../../repository/repository.ts';
import { formatSize } from '../../std/format-size.ts';
import type { CliContext } from '../shell/cli-context.ts';
import { exitCodes } from '../shell/exit-code.ts';
import type { RepositoryStatusOptions } from '../repository-status.ts';
import { openRepository, type RepositoryAction } from './open-repository.ts';

export const repositoryStatus: RepositoryAction<RepositoryStatusOptions> = async (context, _options, opening) => {
  await using opened = await openRepository(context, opening);
  await describeRepository(context, opened.repository);
  return exitCodes.done;
};

export async function describeRepository(context: CliContext, repository: Repository): Promise<void> {
  const { signal } = context;
  const { format, uniqueId, retention } = repository.opened;
  const set = await repository.manifests.load({ signal });
  const { snapshots, damaged } = listSnapshots(set);
  const complete = snapshots.filter(({ incomplete }) => incomplete === undefined).length;
  const sessions = await Array.fromAsync(repository.store.list('s', { signal }));
  const contents = { live: 0, deleted: 0, storedBytes: 0, originalBytes: 0 };
  for (const entry of repository.index.entries()) {
    contents[entry.deleted ? 'deleted' : 'live']++;
    if (entry.deleted) continue;
    contents.storedBytes += entry.packedLength;
    contents.originalBytes += entry.originalLength;
  }
  const value = {
    repository: repository.store.description,
    uniqueId: repositoryId({ uniqueId }),
    formatVersion: format.version,
    indexVersion: format.indexVersion,
    hash: format.hash,
    encryption: format.encryption,
    eccOverheadPercent: format.eccOverheadPercent,
    splitter: format.splitter,
    retention: retention && { mode: retention.mode, periodMs: retention.periodMs },
    maxPackSizeBytes: format.maxPackSizeBytes,
    maintenanceOwner: maintenanceOwner(set),
    snapshots: complete,
    incompleteSnapshots: snapshots.length - complete,
    damagedManifests: damaged.length,
    openSessions: sessions.length,
    indexBlobs: repository.index.activeBlobs.length,
    contents: contents.live,
    deletedContents: contents.deleted,
    contentBytes: contents.originalBytes,
    storedBytes: contents.storedBytes,
  };
  await context.output.record(value, {
    names: [value.repository],
    fields: [
      ['Repository', value.repository],
      ['Unique id', value.uniqueId],
      ['Format', `version ${value.formatVersion}, index version ${value.indexVersion}`],
      ['Hash', value.hash],
      ['Encryption', value.encryption],
      ['Error correction', value.eccOverheadPercent > 0 ? `${value.eccOverheadPercent} %` : 'none'],
      [
        'Immutable',
        retention === undefined
          ? 'no'
          : `${retention.mode.toLowerCase()}, for ${days(retention.periodMs)} from when it is stored`,
      ],
      ['Splitter', `${value.splitter} (files; volumes are cut at every MiB)`],
      ['Maintenance owner', value.maintenanceOwner ?? 'nobody'],
      ['Snapshots', `${complete}, ${value.incompleteSnapshots} unfinished`],
      ['Writers', `${sessions.length} at work, or interrupted`],
      ['Index', `${value.indexBlobs} blobs, ${value.contents} contents, ${value.deletedContents} deleted`],
      ['Data', `${formatSize(value.contentBytes)}, stored in ${formatSize(value.storedBytes)}`],
    ],
  });
}

function days(ms: number): string {
  return `${Number((ms / 86_400_000).toFixed(2))} d`;
}
