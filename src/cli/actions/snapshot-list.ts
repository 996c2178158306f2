import { listSnapshots, userTagPrefix, type Snapshot } from '../../repository/manifest/snapshot.ts';
import { formatSource, type SnapshotSource } from '../../repository/manifest/snapshot-source.ts';
import { isPoolName } from '../../pool/pool-names.ts';
import { decodeVolumeTags } from '../../repository/tree/volume-tags.ts';
import { formatSize } from '../../std/format-size.ts';
import { formatGoTime } from '../../std/go-time.ts';
import type { CliContext } from '../shell/cli-context.ts';
import { exitCodes } from '../shell/exit-code.ts';
import { shortTime } from '../shell/short-time.ts';
import type { SnapshotListOptions } from '../snapshot-list.ts';
import { openRepository, type RepositoryAction } from './open-repository.ts';
import { sourceOf } from './source-of.ts';

export const snapshotList: RepositoryAction<SnapshotListOptions> = async (context, options, opening) => {
  await using opened = await openRepository(context, opening, { cached: true });
  const set = await opened.repository.manifests.load({ signal: context.signal });
  const source = options.source === undefined ? undefined : await sourceOf(context, options.source);
  const { snapshots, damaged } = listSnapshots(set, source);
  for (const { id, error } of damaged) context.log.warn(`manifest ${id} cannot be read: ${error.message}`);
  const wanted = Object.entries(options.tags);
  const rows = snapshots.filter(
    ({ incomplete, tags }) =>
      (options.incomplete || incomplete === undefined) &&
      wanted.every(([key, value]) => tags[userTagPrefix + key] === value || tags[key] === value),
  );
  if (snapshots.length === 0 && source !== undefined) sayNone(context, options.source ?? '', source);
  await context.output.list(rows.map(describeSnapshot), {
    name: ({ id }) => id,
    columns: [
      { header: 'ID', value: ({ id }) => id.slice(0, 12) },
      { header: 'TIME', value: ({ startTime }) => shortTime(startTime) },
      { header: 'KIND', value: ({ kind }) => kind },
      { header: 'SIZE', value: ({ sizeBytes }) => formatSize(sizeBytes), align: 'right' },
      { header: 'CHANGES', value: ({ rung }) => rung ?? '-' },
      { header: 'SOURCE', value: (row) => row.source },
      { header: 'NOTES', value: notes },
    ],
  });
  return exitCodes.done;
};

/** What the repository has of a volume is not what the pool has of it, which is easily forgotten. */
function sayNone(context: CliContext, text: string, source: Partial<SnapshotSource>): void {
  const mayBeVolume = context.poolNamed && isPoolName(text);
  const instead = mayBeVolume ? `; "dray snapshot list --volume ${text}" lists what the pool has of a volume` : '';
  context.log.info(`there is no snapshot of ${formatSource(source)}${instead}`);
}

/** The stable fields of a snapshot in JSON. */
export interface SnapshotRow {
  readonly id: string;
  readonly source: string;
  readonly startTime: string;
  readonly endTime: string;
  /** What the manifest says of it: a volume, files, or one file, which may be the image of a volume. */
  readonly kind: 'volume' | 'files' | 'file';
  /** Of files: how many there are. */
  readonly files: number | undefined;
  readonly sizeBytes: number;
  readonly description: string;
  readonly incomplete: string | undefined;
  readonly parent: string | undefined;
  readonly rung: string | undefined;
  readonly reason: string | undefined;
  readonly suspect: string | undefined;
  readonly layout: string | undefined;
  readonly rootObject: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly pins: readonly string[];
}

export function describeSnapshot(snapshot: Snapshot): SnapshotRow {
  const volume = decodeVolumeTags(snapshot.tags);
  const { rootEntry } = snapshot;
  return {
    id: snapshot.id,
    source: formatSource(snapshot.source),
    startTime: formatGoTime(snapshot.startTime),
    endTime: formatGoTime(snapshot.endTime),
    kind: kindOf(snapshot),
    files: rootEntry.summary?.files,
    sizeBytes: volume.sizeBytes ?? rootEntry.summary?.sizeBytes ?? rootEntry.sizeBytes,
    description: snapshot.description,
    incomplete: snapshot.incomplete,
    parent: volume.parent,
    rung: volume.rung,
    reason: volume.reason,
    suspect: volume.suspect,
    layout: volume.layout,
    rootObject: rootEntry.object,
    tags: snapshot.tags,
    pins: snapshot.pins,
  };
}

/** By what the manifest alone tells: nothing else is read for a list. */
function kindOf({ tags, rootEntry }: Snapshot): SnapshotRow['kind'] {
  const { layout, sizeBytes } = decodeVolumeTags(tags);
  if (layout !== undefined || sizeBytes !== undefined) return 'volume';
  const { files, dirs, symlinks } = rootEntry.summary ?? { files: 1, dirs: 1, symlinks: 0 };
  return rootEntry.type !== 'd' || (files === 1 && dirs <= 1 && symlinks === 0) ? 'file' : 'files';
}

function notes({ incomplete, suspect, pins, tags }: SnapshotRow): string {
  const user = Object.entries(tags).filter(([key]) => key.startsWith(userTagPrefix));
  return [
    ...(incomplete === undefined ? [] : [incomplete]),
    ...(suspect === undefined ? [] : ['SUSPECT']),
    ...pins.map((pin) => `pin:${pin}`),
    ...user.map(([key, value]) => `${key.slice(userTagPrefix.length)}=${value}`),
  ].join(' ');
}
