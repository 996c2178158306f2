/**
 * Reads again a rotating sample of the chunks that a change source calls unchanged, and compares their ids with the
 * parent's. At most 64 MiB a run; every chunk is covered after ceil(chunks ÷ 64) runs (`changes/audit-plan.ts`).
 */
import { planAudit } from '../changes/audit-plan.ts';
import { AlignedMemory } from '../kernel/aligned-memory.ts';
import type { Repository } from '../repository/repository.ts';
import type { LeafId, VolumeBuilder } from '../repository/tree/volume-builder.ts';
import { leafBytes, leafCount, leafLength, nodeLeaves } from '../repository/tree/volume-layout.ts';
import { mapConcurrent } from '../std/map-concurrent.ts';
import type { BlockSource } from '../volume/block-source.ts';
import { extent, extentEnd, type Extent } from '../volume/extent.ts';
import type { AuditResult } from './backup-request.ts';
import { isZero } from './zero-runs.ts';

const sampleChunksMax = 64;
/** Chunks read at once, each into a buffer of its own. */
const readsAtOnce = 8;
/** Nodes of the parent's tree, a few KiB each: over a slow link the time goes into their number of rounds. */
const nodesAtOnce = 32;

export interface AuditParts {
  readonly repository: Repository;
  readonly source: BlockSource;
  readonly tree: VolumeBuilder;
}

export interface AuditOptions {
  /** Normal extents: what the change source says may have changed. */
  readonly changed: readonly Extent[];
  /** Where the run before left off. */
  readonly cursor: number;
  /** Whether the tree has a short last leaf filled up with zeros (the flat layout). */
  readonly padTail: boolean;
  readonly signal: AbortSignal;
}

/** On the main thread: hashing 64 MiB takes less time than workers take to start. */
export async function auditUnchanged(
  { repository: { codec }, source, tree }: AuditParts,
  { changed, cursor, padTail, signal }: AuditOptions,
): Promise<AuditResult & { readonly nextCursor: number }> {
  const { sizeBytes } = source;
  const isChanged = leafTest(changed);
  const plan = planAudit({ chunks: leafCount(sizeBytes), sampleChunks: sampleChunksMax, cursor, isChanged });
  const base = await baseNodes(tree, plan.chunks, signal);
  const memory = AlignedMemory.allocate({ slotBytes: leafBytes, slots: readsAtOnce });
  const free = Array.from({ length: readsAtOnce }, (_, index) => memory.slot(index));
  const check = async (leaf: number): Promise<number | undefined> => {
    const slot = free.pop()!;
    const lengthBytes = leafLength(leaf, sizeBytes);
    const range = extent(leaf * leafBytes, lengthBytes);
    const bytes = slot.subarray(0, lengthBytes);
    if (!source.readCached(range, bytes)) await source.read(range, bytes, { signal });
    const whole = padTail ? slot.fill(0, lengthBytes) : bytes;
    const expected = base.get(nodeOf(leaf))![leaf % nodeLeaves];
    const isSame = expected === undefined ? isZero(whole) : codec.idOf(whole, '') === expected;
    free.push(slot);
    return isSame ? undefined : range.offset;
  };
  const missed: number[] = [];
  for await (const offset of mapConcurrent(plan.chunks, { limit: readsAtOnce, signal }, check)) {
    if (offset !== undefined) missed.push(offset);
  }
  return { chunks: plan.chunks.length, missed: missed.toSorted((a, b) => a - b), nextCursor: plan.nextCursor };
}

/** What the parent says of the sample: each node is read once, many side by side. */
async function baseNodes(
  tree: VolumeBuilder,
  leaves: readonly number[],
  signal: AbortSignal,
): Promise<ReadonlyMap<number, readonly LeafId[]>> {
  const found = new Map<number, readonly LeafId[]>();
  const nodes = new Set(leaves.map(nodeOf));
  const read = async (node: number) => [node, await tree.baseLeaves(node)] as const;
  for await (const [node, ids] of mapConcurrent(nodes, { limit: nodesAtOnce, signal }, read)) found.set(node, ids);
  return found;
}

function nodeOf(leaf: number): number {
  return Math.floor(leaf / nodeLeaves);
}

/** Whether a leaf touches any of the extents, which are normal. */
function leafTest(changed: readonly Extent[]): (leaf: number) => boolean {
  return (leaf) => {
    const start = leaf * leafBytes;
    let low = 0;
    let high = changed.length;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (extentEnd(changed[middle]!) <= start) low = middle + 1;
      else high = middle;
    }
    const next = changed[low];
    return next !== undefined && next.offset < start + leafBytes;
  };
}
