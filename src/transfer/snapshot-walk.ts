/** Everything that a snapshot refers to: its directories and files, and of each file the contents it is made of. */
import { decodeDirectory } from '../repository/manifest/directory.ts';
import type { DirEntry } from '../repository/manifest/dir-entry.ts';
import type { Snapshot } from '../repository/manifest/snapshot.ts';
import type { ContentId } from '../repository/content/content-id.ts';
import { leaves, readObject } from '../repository/object/object-reader.ts';
import type { ObjectId } from '../repository/object/object-id.ts';
import type { Repository } from '../repository/repository.ts';
import { DrayError } from '../std/dray-error.ts';
import { extent, type Extent } from '../volume/extent.ts';
import { damageOf } from './damage.ts';

/** A listing of a million entries. */
const directoryBytesMax = 512 * 1024 * 1024;
const depthMax = 1000;
/** Damaged places of one file that are named one by one. */
const placesMax = 1000;

export interface Call {
  readonly signal: AbortSignal;
}

/** Part of a file that cannot be restored. */
export interface DamagedPlace {
  readonly path: string;
  readonly extent: Extent;
  readonly reason: string;
}

export interface WalkOptions extends Call {
  /** Why this content cannot be had, or undefined when it can. */
  readonly faultOf: (id: ContentId) => string | undefined;
  readonly onDamage: (place: DamagedPlace) => void;
}

/** Looks at every content of a snapshot. Damage is reported, not thrown; what lies behind it is still looked at. */
export async function walkSnapshot(repository: Repository, snapshot: Snapshot, options: WalkOptions): Promise<void> {
  await walkEntry(repository, snapshot.rootEntry, { path: '', depth: 0 }, options);
}

async function walkEntry(
  repository: Repository,
  entry: DirEntry,
  { path, depth }: { readonly path: string; readonly depth: number },
  options: WalkOptions,
): Promise<void> {
  options.signal.throwIfAborted();
  if (entry.type !== 'd') {
    await walkFile(repository, entry, path, options);
    return;
  }
  await checkObject(repository, entry.object, options, path, entry.sizeBytes);
  let entries: readonly DirEntry[];
  try {
    const { signal } = options;
    if (depth > depthMax) throw new DrayError('corrupt', `directories are nested more than ${depthMax} deep`);
    entries = decodeDirectory(
      await readObject(repository, entry.object, { maxBytes: directoryBytesMax, signal }),
    ).entries;
  } catch (error) {
    const reason = damageOf(error);
    options.onDamage({ path: path || '/', extent: extent(0, entry.summary?.sizeBytes ?? 0), reason });
    return;
  }
  for (const child of entries) {
    await walkEntry(repository, child, { path: `${path}/${child.name}`, depth: depth + 1 }, options);
  }
}

async function walkFile(repository: Repository, entry: DirEntry, path: string, options: WalkOptions): Promise<void> {
  const sizeBytes = entry.type === 's' ? Infinity : entry.sizeBytes;
  await checkObject(repository, entry.object, options, path, sizeBytes);
}

/** Every leaf of an object; where its lists are damaged, the first such place is found by halving. */
async function checkObject(
  repository: Repository,
  object: ObjectId,
  options: WalkOptions,
  path: string,
  sizeBytes: number,
): Promise<void> {
  let from = 0;
  for (let places = 0; places < placesMax; places++) {
    const state = { end: from };
    try {
      await checkLeaves(repository, object, options, path, { from, to: sizeBytes, state });
      return;
    } catch (error) {
      const reason = damageOf(error);
      if (!Number.isFinite(sizeBytes) || sizeBytes <= from) {
        options.onDamage({ path: path || '/', extent: extent(from, 0), reason });
        return;
      }
      const place = await firstUnreadable(repository, object, { from: state.end, to: sizeBytes }, options);
      options.onDamage({ path: path || '/', extent: extent(place.from, place.to - place.from), reason });
      from = place.to;
      if (from >= sizeBytes) return;
    }
  }
}

async function checkLeaves(
  repository: Repository,
  object: ObjectId,
  { faultOf, onDamage, signal }: WalkOptions,
  path: string,
  { from, to, state }: { readonly from: number; readonly to: number; readonly state: { end: number } },
): Promise<void> {
  const within = from === 0 ? undefined : extent(from, to - from);
  for await (const runs of leaves(repository, object, { within, signal })) {
    for (const run of runs) {
      const lengthBytes = run.lengthBytes * run.repeat;
      const reason = faultOf(run.contentId);
      if (reason !== undefined) onDamage({ path: path || '/', extent: extent(run.offset, lengthBytes), reason });
      state.end = run.offset + lengthBytes;
    }
  }
}

/** What one node of a volume covers: damage of a list is told no finer than that. */
const placeBytes = 64 * 1024 * 1024;

/** The first stretch in a range whose lists cannot be read. */
async function firstUnreadable(
  repository: Repository,
  object: ObjectId,
  range: { readonly from: number; readonly to: number },
  { signal }: Call,
): Promise<{ readonly from: number; readonly to: number }> {
  let first = Math.floor(range.from / placeBytes);
  let count = Math.ceil(range.to / placeBytes) - first;
  while (count > 1) {
    const half = Math.floor(count / 2);
    const readable = await isReadable(repository, object, extent(first * placeBytes, half * placeBytes), signal);
    if (readable) first += half;
    count = readable ? count - half : half;
  }
  const from = Math.max(range.from, first * placeBytes);
  return { from, to: Math.max(from + 1, Math.min(range.to, (first + 1) * placeBytes)) };
}

async function isReadable(
  repository: Repository,
  object: ObjectId,
  within: Extent,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    for await (const _ of leaves(repository, object, { within, signal }));
    return true;
  } catch (error) {
    damageOf(error);
    return false;
  }
}
