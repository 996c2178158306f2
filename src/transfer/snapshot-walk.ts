/** Everything that a snapshot refers to: its directories and files, and of each file the contents it is made of. */
import { decodeDirectory } from '../repository/manifest/directory.ts';
import type { DirEntry } from '../repository/manifest/dir-entry.ts';
import type { Snapshot } from '../repository/manifest/snapshot.ts';
import type { ContentId } from '../repository/content/content-id.ts';
import { leaves, readObject } from '../repository/object/object-reader.ts';
import { directContent, isIndirect, type ObjectId } from '../repository/object/object-id.ts';
import type { ContentReader } from '../repository/object/content-access.ts';
import { DrayError } from '../std/dray-error.ts';
import { extent, type Extent } from '../volume/extent.ts';
import { damageOf, unsupportedOf } from './damage.ts';

/** A listing of a million entries. */
const directoryBytesMax = 512 * 1024 * 1024;
const depthMax = 1000;
const placesMaxDefault = 1000;

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
  /** Called with what this version lacks to read a directory or a list: what lies behind it is not looked at. */
  readonly onUnsupported: (what: string) => void;
  /** Unreadable places of one file that are named one by one, when not 1,000. */
  readonly placesMax?: number;
}

/** Looks at every content of a snapshot. Damage is reported, not thrown; what lies behind it is still looked at. */
export async function walkSnapshot(reader: ContentReader, snapshot: Snapshot, options: WalkOptions): Promise<void> {
  await walkEntry(reader, snapshot.rootEntry, { path: '', depth: 0 }, options);
}

async function walkEntry(
  reader: ContentReader,
  entry: DirEntry,
  { path, depth }: { readonly path: string; readonly depth: number },
  options: WalkOptions,
): Promise<void> {
  options.signal.throwIfAborted();
  if (entry.type !== 'd') {
    await walkFile(reader, entry, path, options);
    return;
  }
  await checkObject(reader, entry.object, options, path, entry.sizeBytes);
  let entries: readonly DirEntry[];
  try {
    const { signal } = options;
    if (depth > depthMax) throw new DrayError('corrupt', `directories are nested more than ${depthMax} deep`);
    entries = decodeDirectory(await readObject(reader, entry.object, { maxBytes: directoryBytesMax, signal })).entries;
  } catch (error) {
    report(error, { path: path || '/', extent: extent(0, entry.summary?.sizeBytes ?? 0) }, options);
    return;
  }
  for (const child of entries) {
    await walkEntry(reader, child, { path: `${path}/${child.name}`, depth: depth + 1 }, options);
  }
}

async function walkFile(reader: ContentReader, entry: DirEntry, path: string, options: WalkOptions): Promise<void> {
  if (!isIndirect(entry.object)) {
    // Most files are one content; that it can be had is known without reading it once more.
    try {
      const reason = options.faultOf(directContent(entry.object));
      if (reason !== undefined) options.onDamage({ path: path || '/', extent: extent(0, entry.sizeBytes), reason });
    } catch (error) {
      report(error, { path: path || '/', extent: extent(0, entry.sizeBytes) }, options);
    }
    return;
  }
  const sizeBytes = entry.type === 's' ? Infinity : entry.sizeBytes;
  await checkObject(reader, entry.object, options, path, sizeBytes);
}

/** Says that a place cannot be read: damage, or only not supported. Any other error is thrown on. */
function report(error: unknown, place: Omit<DamagedPlace, 'reason'>, options: WalkOptions, more = ''): void {
  const what = unsupportedOf(error);
  if (what === undefined) options.onDamage({ ...place, reason: damageOf(error) + more });
  else options.onUnsupported(what);
}

/** Every leaf of an object; where its lists are damaged, the first such place is found by halving. */
async function checkObject(
  reader: ContentReader,
  object: ObjectId,
  options: WalkOptions,
  path: string,
  sizeBytes: number,
): Promise<void> {
  const { placesMax = placesMaxDefault } = options;
  const part = (from: number, to: number): Omit<DamagedPlace, 'reason'> => {
    return { path: path || '/', extent: extent(from, Math.max(0, to - from)) };
  };
  let from = 0;
  for (let places = 0; ; places++) {
    const state = { end: from };
    try {
      await checkLeaves(reader, object, options, path, { from, to: sizeBytes, state });
      return;
    } catch (error) {
      if (!Number.isFinite(sizeBytes) || sizeBytes <= from) {
        report(error, part(from, from), options);
        return;
      }
      if (places === placesMax) {
        const more = `; what follows was not looked at, after ${placesMax} places that cannot be read`;
        report(error, part(state.end, sizeBytes), options, more);
        return;
      }
      const place = await firstUnreadable(reader, object, { from: state.end, to: sizeBytes }, options);
      report(error, part(place.from, place.to), options);
      from = place.to;
      if (from >= sizeBytes) return;
    }
  }
}

async function checkLeaves(
  reader: ContentReader,
  object: ObjectId,
  { faultOf, onDamage, signal }: WalkOptions,
  path: string,
  { from, to, state }: { readonly from: number; readonly to: number; readonly state: { end: number } },
): Promise<void> {
  const within = from === 0 ? undefined : extent(from, to - from);
  for await (const runs of leaves(reader, object, { within, compressed: true, signal })) {
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
  reader: ContentReader,
  object: ObjectId,
  range: { readonly from: number; readonly to: number },
  { signal }: Call,
): Promise<{ readonly from: number; readonly to: number }> {
  let first = Math.floor(range.from / placeBytes);
  let count = Math.ceil(range.to / placeBytes) - first;
  while (count > 1) {
    const half = Math.floor(count / 2);
    const readable = await isReadable(reader, object, extent(first * placeBytes, half * placeBytes), signal);
    if (readable) first += half;
    count = readable ? count - half : half;
  }
  const from = Math.max(range.from, first * placeBytes);
  return { from, to: Math.max(from + 1, Math.min(range.to, (first + 1) * placeBytes)) };
}

async function isReadable(
  reader: ContentReader,
  object: ObjectId,
  within: Extent,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    for await (const _ of leaves(reader, object, { within, compressed: true, signal }));
    return true;
  } catch (error) {
    damageOf(error);
    return false;
  }
}
