/**
 * What a backup has to do, in order of offset: which leaves to read, which certainly read as zeros, and which nodes
 * of the tree they belong to. Streams, so that a volume of any size takes no memory; a hole of any size is one item.
 */
import { leafBytes, nodeLeaves } from '../repository/tree/volume-layout.ts';
import type { BlockSource } from '../volume/block-source.ts';
import { extent, extentEnd, type Extent } from '../volume/extent.ts';

/** A stretch of leaves, all to be read or all zero. */
interface LeafRun {
  readonly first: number;
  readonly leaves: number;
  readonly data: boolean;
}

export type PlanItem =
  /** These whole nodes read as zeros. */
  | { readonly kind: 'zero-nodes'; readonly first: number; readonly nodes: number }
  /** One node with something to read; leaves in neither list keep what the base tree says. */
  | {
      readonly kind: 'node';
      readonly node: number;
      readonly read: readonly LeafRange[];
      readonly zero: readonly LeafRange[];
      /** True when every leaf of the node is in one of the lists: no base is needed. */
      readonly whole: boolean;
    };

/** Leaves by their number in the volume. */
export interface LeafRange {
  readonly first: number;
  readonly leaves: number;
}

/**
 * @param touched normal extents that may have changed; `undefined` for the whole volume.
 * @returns items in order; a node appears at most once.
 */
export async function* planNodes(
  source: BlockSource,
  touched: readonly Extent[] | undefined,
  { signal }: { readonly signal: AbortSignal },
): AsyncGenerator<PlanItem> {
  const totalLeaves = Math.ceil(source.sizeBytes / leafBytes);
  let open: { node: number; read: LeafRange[]; zero: LeafRange[]; seen: number } | undefined;
  const close = (): PlanItem[] => {
    if (open === undefined) return [];
    const { node, read, zero, seen } = open;
    open = undefined;
    const all = Math.min(nodeLeaves, totalLeaves - node * nodeLeaves);
    if (read.length === 0 && seen === all) return [{ kind: 'zero-nodes', first: node, nodes: 1 }];
    return [{ kind: 'node', node, read, zero, whole: seen === all }];
  };
  for await (const run of leafRuns(source, touched, signal)) {
    let { first, leaves } = run;
    while (leaves > 0) {
      const node = Math.floor(first / nodeLeaves);
      if (open !== undefined && open.node !== node) yield* close();
      if (!run.data && open === undefined && first % nodeLeaves === 0 && leaves >= nodeLeaves) {
        const nodes = Math.floor(leaves / nodeLeaves);
        yield { kind: 'zero-nodes', first: node, nodes };
        first += nodes * nodeLeaves;
        leaves -= nodes * nodeLeaves;
        continue;
      }
      open ??= { node, read: [], zero: [], seen: 0 };
      const taken = Math.min(leaves, (node + 1) * nodeLeaves - first);
      (run.data ? open.read : open.zero).push({ first, leaves: taken });
      open.seen += taken;
      first += taken;
      leaves -= taken;
    }
  }
  yield* close();
}

/** Runs that cover the touched extents, widened to whole leaves, in order and without overlap. */
async function* leafRuns(
  source: BlockSource,
  touched: readonly Extent[] | undefined,
  signal: AbortSignal,
): AsyncGenerator<LeafRun> {
  const { sizeBytes } = source;
  const ranges = touched ?? [extent(0, sizeBytes)];
  let at = 0;
  for (const range of ranges) {
    const end = Math.ceil(Math.min(extentEnd(range), sizeBytes) / leafBytes);
    const first = Math.max(at, Math.floor(range.offset / leafBytes));
    if (end <= first) continue;
    at = first;
    const within = extent(first * leafBytes, Math.min(end * leafBytes, sizeBytes) - first * leafBytes);
    for await (const data of source.dataExtents(within, { signal })) {
      const dataFirst = Math.max(at, Math.floor(data.offset / leafBytes));
      const dataEnd = Math.min(end, Math.ceil(extentEnd(data) / leafBytes));
      if (dataEnd <= dataFirst) continue;
      if (dataFirst > at) yield { first: at, leaves: dataFirst - at, data: false };
      yield { first: dataFirst, leaves: dataEnd - dataFirst, data: true };
      at = dataEnd;
    }
    if (at < end) yield* lastHole(at, end, sizeBytes);
    at = end;
  }
}

/** A short last leaf is a content of its own, so it is read even where it is a hole. */
function* lastHole(first: number, end: number, sizeBytes: number): Generator<LeafRun> {
  const short = end * leafBytes > sizeBytes;
  const zeroEnd = short ? end - 1 : end;
  if (zeroEnd > first) yield { first, leaves: zeroEnd - first, data: false };
  if (short) yield { first: end - 1, leaves: 1, data: true };
}
