/**
 * What differs between two snapshots of a volume, from ids alone: no data is read, and of the trees only what is not
 * the same. Two trees of the layout `tree-1` are compared by pieces of their lists (128 GiB), then by nodes, then by
 * leaves; any other pair part by part from the roots down. Never too little: where borders do not meet, all up to the
 * next common border counts as changed.
 */
import { extent } from '../../volume/extent.ts';
import type { Extent } from '../../volume/extent.ts';
import type { ContentReader } from '../object/content-access.ts';
import type { IndirectEntry } from '../object/indirect.ts';
import { ObjectCursor } from '../object/object-cursor.ts';
import { isIndirect } from '../object/object-id.ts';
import type { ObjectId } from '../object/object-id.ts';
import { TreeList } from './tree-list.ts';
import { leafBytes, listEntries, nodeBytes, nodeLength, pieceBytes } from './volume-layout.ts';
import type { Layout } from './volume-layout.ts';

export interface DiffSide {
  readonly object: ObjectId;
  /** The volume's real size, also where the object is padded. */
  readonly sizeBytes: number;
  /** As the snapshot's tag says; anything may be compared with anything. */
  readonly layout?: Layout | undefined;
}

interface Call {
  readonly signal: AbortSignal;
}

/** From `start` to `end`, exclusive. */
type Range = readonly [start: number, end: number];

/**
 * Where `after` may differ from `before`: a normal list of extents within `after`, in order. After a change of size
 * the old short tail and everything past it count as changed.
 * @throws {RepositoryError} `corrupt`, `content-missing`
 */
export async function* diffTrees(
  reader: ContentReader,
  { before, after }: { readonly before: DiffSide; readonly after: DiffSide },
  call: Call,
): AsyncGenerator<Extent> {
  const { sizeBytes } = after;
  let open: [number, number] | undefined;
  for await (const [start, end] of rangesOf(reader, { before, after }, call)) {
    call.signal.throwIfAborted();
    const to = Math.min(end, sizeBytes);
    if (to <= start) continue;
    if (open !== undefined && open[1] >= start) {
      open[1] = Math.max(open[1], to);
    } else {
      if (open !== undefined) yield extent(open[0], open[1] - open[0]);
      open = [start, to];
    }
  }
  if (open !== undefined) yield extent(open[0], open[1] - open[0]);
}

async function* rangesOf(
  reader: ContentReader,
  { before, after }: { readonly before: DiffSide; readonly after: DiffSide },
  call: Call,
): AsyncGenerator<Range> {
  const common = Math.min(before.sizeBytes, after.sizeBytes);
  if (before.sizeBytes === after.sizeBytes) {
    if (before.object === after.object) return;
    yield* compare(reader, { before, after, limit: common }, call);
  } else {
    const limit = Math.floor(common / leafBytes) * leafBytes;
    if (limit > 0) yield* compare(reader, { before, after, limit }, call);
    yield [limit, after.sizeBytes];
  }
}

interface Pair {
  readonly before: DiffSide;
  readonly after: DiffSide;
  /** Nothing is of interest from here on. */
  readonly limit: number;
}

async function* compare(reader: ContentReader, { before, after, limit }: Pair, call: Call): AsyncGenerator<Range> {
  if (before.layout === 'tree-1' && after.layout === 'tree-1') {
    yield* compareTrees(reader, { before, after, limit }, call);
    return;
  }
  await using a = new ObjectCursor(reader, call);
  await using b = new ObjectCursor(reader, call);
  await a.openObject(before.object, before.sizeBytes);
  await b.openObject(after.object, after.sizeBytes);
  yield* compareCursors(a, b, limit);
}

async function* compareTrees(reader: ContentReader, { before, after, limit }: Pair, call: Call): AsyncGenerator<Range> {
  const lists = [new TreeList(reader, before, call), new TreeList(reader, after, call)] as const;
  for (let piece = 0; piece * pieceBytes < limit; piece += 1) {
    if (await isSamePiece(lists, piece)) continue;
    const [inA, inB] = await Promise.all(lists.map(async (list) => await pieceEntries(list, piece)));
    await using a = new ObjectCursor(reader, call);
    await using b = new ObjectCursor(reader, call);
    await a.openEntries(inA!);
    await b.openEntries(inB!);
    yield* compareCursors(a, b, limit);
  }
}

async function isSamePiece([before, after]: readonly [TreeList, TreeList], piece: number): Promise<boolean> {
  // The text of a last piece does not say how long the volume is, but its entries do.
  const [a, b] = await Promise.all([before.piece(piece), after.piece(piece)]);
  return a.contentId === b.contentId;
}

async function pieceEntries(list: TreeList, piece: number): Promise<IndirectEntry[]> {
  const nodes = await list.nodes(piece);
  return nodes.map((objectId, index) => {
    const node = piece * listEntries + index;
    return { offset: node * nodeBytes, lengthBytes: nodeLength(node, list.sizeBytes), objectId };
  });
}

/** Both begin at the same offset. */
async function* compareCursors(a: ObjectCursor, b: ObjectCursor, limit: number): AsyncGenerator<Range> {
  while (a.part !== undefined && b.part !== undefined && a.part.offset < limit) {
    const { offset, end, objectId } = a.part;
    if (end === b.part.end) {
      if (objectId === b.part.objectId) {
        await a.next();
        await b.next();
        continue;
      }
      const opensB = isIndirect(b.part.objectId);
      if (isIndirect(objectId)) await a.enter();
      if (opensB) await b.enter();
      if (isIndirect(objectId) || opensB) continue;
      yield [offset, end];
      await a.next();
      await b.next();
    } else {
      const longer = end > b.part.end ? a : b;
      if (isIndirect(longer.part!.objectId)) await longer.enter();
      else yield [offset, await align(a, b)];
    }
  }
  const rest = a.part ?? b.part;
  if (rest !== undefined && rest.offset < limit) yield [rest.offset, limit];
}

/** Moves both past the next border that they have in common, and returns it. */
async function align(a: ObjectCursor, b: ObjectCursor): Promise<number> {
  let reached = 0;
  while (a.part !== undefined && b.part !== undefined) {
    const border = Math.min(a.part.end, b.part.end);
    reached = Math.max(a.part.end, b.part.end);
    if (border === reached) {
      await a.next();
      await b.next();
      return border;
    }
    const [shorter, longer] = a.part.end < b.part.end ? [a, b] : [b, a];
    const to: number = longer.part!.end;
    await shorter.next();
    while (shorter.part !== undefined && shorter.part.end > to && isIndirect(shorter.part.objectId))
      await shorter.enter();
  }
  return reached;
}
