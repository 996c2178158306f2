import { resolveSnapshot } from '../../repository/manifest/snapshot.ts';
import { formatSize } from '../../std/format-size.ts';
import { exitCodes } from '../shell/exit-code.ts';
import type { SnapshotShowOptions } from '../snapshot-show.ts';
import { openRepository, type RepositoryAction } from './open-repository.ts';
import { describeSnapshot } from './snapshot-list.ts';

const kinds = { volume: 'a volume', file: 'one file, or the image of a volume' } as const;

export const snapshotShow: RepositoryAction<SnapshotShowOptions> = async (context, options, opening) => {
  await using opened = await openRepository(context, opening, { cached: true });
  const set = await opened.repository.manifests.load({ signal: context.signal });
  const row = describeSnapshot(resolveSnapshot(set, options.snapshot));
  const fields: [string, string | undefined][] = [
    ['Snapshot', row.id],
    ['Source', row.source],
    ['Taken', `${row.startTime} to ${row.endTime}`],
    ['Kind', row.kind === 'files' ? `files and folders: ${row.files} files` : kinds[row.kind]],
    ['Size', `${formatSize(row.sizeBytes)} (${row.sizeBytes} bytes)`],
    ['State', row.incomplete === undefined ? 'complete' : `unfinished: ${row.incomplete}`],
    ['Changes', row.rung === undefined ? undefined : `${row.rung}: ${row.reason}`],
    ['Suspect', row.suspect],
    ['Parent', row.parent],
    ['Layout', row.layout],
    ['Root object', row.rootObject],
    ['Pins', row.pins.join(', ') || undefined],
    ...Object.entries(row.tags).map(([key, value]): [string, string] => [`Tag ${key}`, value]),
  ];
  await context.output.record(row, { names: [row.id], fields });
  return exitCodes.done;
};
