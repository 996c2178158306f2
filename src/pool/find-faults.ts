/**
 * Looks at everything in a pool, and touches nothing. What the pool did not make is named and never anybody's to remove
 * but the user's: a name alone does not make a volume of a folder.
 */
import { lstatSync, readdirSync, statSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { hasCode } from '../std/dray-error.ts';
import { toError } from '../std/to-error.ts';
import { entriesOf } from './entries-of.ts';
import { faultyGroups, type GroupPlan } from './mend-group.ts';
import { PoolError } from './pool-error.ts';
import { imageName, poolRecordName, snapshotRecordName, volumeRecordName } from './pool-layout.ts';
import { isPoolName, snapshotName, type SnapshotName } from './pool-names.ts';
import { readRecord, snapshotRecordSchema, volumeRecordSchema } from './pool-records.ts';
import type { Pool, PoolSnapshot } from './pool.ts';
import type { VolumeContents } from './readable.ts';
import { isOfStaging, type InTheWay } from './recover-staging.ts';

export interface Finding {
  /**
   * `staging`: the folder is gone. `group`: the decision on a group cannot be read. `…-record`: it is missing or cannot be
   * read. `…-image`: it is gone. `stray`: what a killed replacing of a record left. `foreign`: the pool did not make it.
   * `leftover`: nobody's, in `staging`, and cannot be removed. `frozen`: a file system that may be frozen, and cannot be thawed.
   */
  readonly kind:
    | 'staging'
    | 'group'
    | 'volume-record'
    | 'volume-image'
    | 'snapshot-record'
    | 'snapshot-image'
    | 'stray'
    | 'foreign'
    | 'leftover'
    | 'frozen';
  /** Such as `data@monday`; of what is stray or foreign its path in the pool. */
  readonly what: string;
  readonly path: string;
  readonly message: string;
  /**
   * `mend`: by making it again. `remove`: a file that nothing needs. `damaged`: data is lost. `stuck`: as well, but what is
   * left of it holds something foreign. `cleared`: as well, and nothing is left of it to remove. `newer`: a newer dray wrote
   * it, and can read it. `hand`: nothing is lost, and only the user can mend it. `none`: it stays as it is.
   */
  readonly remedy: 'mend' | 'remove' | 'damaged' | 'stuck' | 'cleared' | 'newer' | 'hand' | 'none';
}

/** What of a volume is looked at. */
export interface FaultOptions {
  /** Names of snapshots that were just found sound: their records and images are not looked at again. */
  readonly sound?: ReadonlySet<string> | undefined;
  /** Whether what else lies in their folders is looked for: yes unless told. */
  readonly inSound?: boolean | undefined;
}

/** @throws {PoolError} `pool-io` */
export function findFaults(
  pool: Pool,
  {
    sound,
    inSound,
  }: Pick<FaultOptions, 'inSound'> & { readonly sound?: ReadonlyMap<string, ReadonlySet<string>> } = {},
): Finding[] {
  const volumes = readdirSync(pool.layout.volumes).flatMap((name) =>
    faultsOfVolume(pool, name, { sound: sound?.get(name), inSound }),
  );
  return [...strangersInRoot(pool), ...faultsOfStaging(pool), ...volumes];
}

/** `lost+found` is the file system's. */
function strangersInRoot(pool: Pool): Finding[] {
  const folders = [pool.layout.volumes, pool.layout.staging, 'lost+found'].map((path) => basename(path));
  return strangersIn(pool, pool.layout.root, { folders, files: [basename(pool.layout.lock)], record: poolRecordName });
}

/** What keeps everybody from changing the pool, and what is foreign there. */
function faultsOfStaging(pool: Pool): Finding[] {
  const { staging } = pool.layout;
  const others = entriesOf(staging).filter((name) => !isOfStaging(name));
  return [
    ...obstacles(pool, { withoutFolder: !exists(staging), groups: faultyGroups(pool.layout) }),
    ...others.flatMap((name) => foreign(pool, join(staging, name))),
  ];
}

/** What is told of what was found, or has been dealt with. */
export function obstacles({ layout: { staging } }: Pool, { withoutFolder, groups }: InTheWay): Finding[] {
  const folder = { kind: 'staging', what: 'staging', path: staging, message: `${staging} is gone` } as const;
  return [
    ...(withoutFolder ? [{ ...folder, remedy: 'mend' } as const] : []),
    ...groups.map(({ name, fault }): Finding => {
      const path = join(staging, name);
      const message =
        'plan' in fault ? unreadable(fault.plan) : `its snapshots of ${fault.gone.join(', ')} have no volume`;
      return { kind: 'group', what: name, path, message: `${path}: ${message}`, remedy: 'mend' };
    }),
  ];
}

function unreadable({ missing, places }: GroupPlan): string {
  const lost = missing.length === 0 ? '' : `, nor what it says of ${missing.join(', ')}: the group is not whole`;
  return `cannot be read${lost}; snapshots to put in place: ${places.length}`;
}

/** Of snapshots whose records were just read, the names of those whose images are there as well. */
export function soundOf(snapshots: readonly PoolSnapshot[]): ReadonlySet<string> {
  return new Set(snapshots.filter(({ image }) => isFile(image)).map(({ snapshot }) => snapshot));
}

/** As `soundOf`, by volume. */
export function soundIn(contents: readonly VolumeContents[]): ReadonlyMap<string, ReadonlySet<string>> {
  return new Map(contents.map(({ volume, snapshots }) => [volume.name, soundOf(snapshots)]));
}

/** Of what is in its folder; none when there is no such volume. */
export function faultsOfVolume(
  pool: Pool,
  name: string,
  { sound = new Set(), inSound = true }: FaultOptions = {},
): Finding[] {
  const { layout } = pool;
  const home = layout.volume(name);
  const folders = [layout.live(name), layout.snapshots(name)];
  if (!isPoolName(name) || !isFolder(home) || !folders.some(isFolder)) return foreign(pool, home);
  const others = [...strangersIn(pool, home, { folders: ['live', 'snapshots'] }), ...strangersInLive(pool, name)];
  const snapshots = entriesOf(layout.snapshots(name)).flatMap((snapshot) => {
    if (!sound.has(snapshot)) return faultsOfSnapshot(pool, { volume: name, snapshot });
    return inSound ? strangersInSnapshot(pool, { volume: name, snapshot }) : [];
  });
  return [...faultsOfLive(pool, name, [...others, ...snapshots]), ...others, ...snapshots];
}

function faultsOfLive(pool: Pool, name: string, others: readonly Finding[]): Finding[] {
  const { layout } = pool;
  const path = layout.volumeRecord(name);
  if (!isFile(layout.image(name))) {
    const isAlone = !hasSnapshots(pool, name);
    const left = isAlone ? '' : '; its snapshots are left';
    const message = `the image of volume ${name} is gone${left}`;
    const goes = isAlone ? layout.volume(name) : layout.live(name);
    const remedy = isAlone || isFolder(layout.live(name)) ? damaged(goes, others) : 'cleared';
    return [{ kind: 'volume-image', what: name, path: layout.live(name), message, remedy }];
  }
  const fault = recordFault(path, volumeRecordSchema);
  return fault === undefined ? [] : [{ kind: 'volume-record', what: name, path, ...fault }];
}

function faultsOfSnapshot(pool: Pool, named: SnapshotName): Finding[] {
  const { volume, snapshot: name } = named;
  const { layout } = pool;
  const folder = layout.snapshot(volume, name);
  const what = snapshotName(named);
  if (!isSnapshot(pool, volume, name)) return foreign(pool, folder);
  const others = strangersInSnapshot(pool, named);
  if (!isFile(layout.snapshotImage(volume, name))) {
    const message = `the image of ${what} is gone`;
    return [{ kind: 'snapshot-image', what, path: folder, message, remedy: damaged(folder, others) }, ...others];
  }
  const path = layout.snapshotRecord(volume, name);
  const fault = recordFault(path, snapshotRecordSchema);
  if (fault === undefined) return others;
  return [{ kind: 'snapshot-record', what, path, ...fault }, ...others];
}

/** What goes, or is replaced, takes nothing along that the pool did not make. @throws {PoolError} `pool-foreign-file` */
export function refuseForeign(what: string, inside: readonly Finding[]): void {
  const [first, ...others] = inside.filter(({ kind }) => kind === 'foreign');
  if (first === undefined) return;
  const more = others.length === 0 ? '' : `, nor are ${others.length} more`;
  throw new PoolError('pool-foreign-file', `${what} holds what would be lost with it: ${first.message}${more}`);
}

export function strangersInLive(pool: Pool, volume: string): Finding[] {
  return strangersIn(pool, pool.layout.live(volume), { files: [imageName], record: volumeRecordName });
}

export function strangersInSnapshot(pool: Pool, { volume, snapshot }: SnapshotName): Finding[] {
  return strangersIn(pool, pool.layout.snapshot(volume, snapshot), { files: [imageName], record: snapshotRecordName });
}

/** Whether a volume has any: what is foreign in its folder is none. */
export function hasSnapshots(pool: Pool, volume: string): boolean {
  return entriesOf(pool.layout.snapshots(volume)).some((name) => isSnapshot(pool, volume, name));
}

/** Both files come and go with their folder, so one of which nothing is left cannot be told from what others made. */
function isSnapshot({ layout }: Pool, volume: string, name: string): boolean {
  if (!isPoolName(name) || !isFolder(layout.snapshot(volume, name))) return false;
  return isFile(layout.snapshotImage(volume, name)) || exists(layout.snapshotRecord(volume, name));
}

/** Nothing foreign goes along with what is removed. */
function damaged(goes: string, others: readonly Finding[]): Finding['remedy'] {
  const holds = others.some(({ kind, path }) => kind === 'foreign' && path.startsWith(`${goes}/`));
  return holds ? 'stuck' : 'damaged';
}

function recordFault(
  path: string,
  schema: Parameters<typeof readRecord>[1],
): Pick<Finding, 'message' | 'remedy'> | undefined {
  try {
    if (readRecord(path, schema) !== undefined) return undefined;
    return { message: `${path} is missing`, remedy: 'mend' };
  } catch (error) {
    if (hasCode(error, 'pool-damaged')) return { message: toError(error).message, remedy: 'mend' };
    if (hasCode(error, 'pool-version')) return { message: toError(error).message, remedy: 'newer' };
    throw error;
  }
}

interface Known {
  readonly folders?: readonly string[];
  readonly files?: readonly string[];
  readonly record?: string;
}

function strangersIn(pool: Pool, folder: string, { folders = [], files = [], record }: Known): Finding[] {
  return entriesOf(folder).flatMap((name): Finding[] => {
    const path = join(folder, name);
    if (files.includes(name) || name === record || (folders.includes(name) && isFolder(path))) return [];
    const isTemporary = record !== undefined && name.startsWith(`${record}.tmp.`) && /\.[0-9a-f]{16}$/.test(name);
    if (!isTemporary || !isFile(path)) return foreign(pool, path);
    const what = relative(pool.layout.root, path);
    return [{ kind: 'stray', what, path, message: `${path} was never finished`, remedy: 'remove' }];
  });
}

/** Who looks takes no lock: what has gone since it was listed was the pool's, on its way. */
function foreign({ layout }: Pool, path: string): Finding[] {
  if (!exists(path)) return [];
  const what = relative(layout.root, path);
  return [{ kind: 'foreign', what, path, message: `${path} is not of this pool`, remedy: 'none' }];
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

/** A link to one is none: what it leads to is not the pool's. */
export function isFolder(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}
