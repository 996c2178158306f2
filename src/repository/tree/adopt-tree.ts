/**
 * A parent in a foreign layout (Velero's flat list, a file that `kopia` split, another layout of ours) is read as a
 * flat sequence of chunks and written again as a tree of nodes; data is neither read nor stored. Chunks that are not
 * 1 MiB on a multiple of 1 MiB have no place in a tree: what they cover is returned, and must be read from the source.
 */
import { extent } from '../../volume/extent.ts';
import type { Extent } from '../../volume/extent.ts';
import type { LeafRun } from '../object/leaf-run.ts';
import { runEnd } from '../object/leaf-run.ts';
import type { ObjectId } from '../object/object-id.ts';
import { leaves } from '../object/object-reader.ts';
import { TreeBuilder } from './tree-builder.ts';
import type { TreeParts } from './tree-builder.ts';
import type { TreeRef } from './tree-list.ts';
import type { LeafId } from './volume-builder.ts';
import { leafBytes, leafCount, leafLength, leavesOfNode, nodeBytes, nodeLeaves } from './volume-layout.ts';

export interface AdoptedTree {
  /** Readable as a base once it is flushed. Zeros stand where nothing is known. */
  readonly object: ObjectId;
  /** What the tree does not know of the parent; normal, widened to whole leaves. */
  readonly unknown: readonly Extent[];
}

/** @throws {RepositoryError} `corrupt`, `content-missing`, `unsupported` */
export async function adoptTree(
  { reader, writer }: TreeParts,
  { object, sizeBytes, signal }: TreeRef & { readonly signal: AbortSignal },
): Promise<AdoptedTree> {
  const builder = new TreeBuilder({ reader, writer }, { sizeBytes, signal });
  const zero = await writer.write('', new Uint8Array(leafBytes), { signal });
  const unknown: Extent[] = [];
  let node: LeafId[] = [];
  let next = 0;
  /** Everything up to `leaf` that no run has filled is unknown. */
  const fillTo = async (leaf: number): Promise<void> => {
    if (leaf > next) noteUnknown(unknown, { first: next, end: leaf, sizeBytes });
    while (next < leaf) await push(undefined);
  };
  const push = async (id: LeafId): Promise<void> => {
    node.push(id);
    const at = Math.floor(next / nodeLeaves);
    next += 1;
    if (node.length < leavesOfNode(at, sizeBytes)) return;
    await builder.setNode(at, node);
    node = [];
  };
  for await (const batch of leaves(reader, object, { within: extent(0, sizeBytes), signal })) {
    for (const run of batch) {
      const known = wholeLeaves(run, sizeBytes);
      if (known === undefined) continue;
      await fillTo(known.first);
      while (next < known.end) {
        const nodes = Math.floor((known.end - next) / nodeLeaves);
        if (run.contentId === zero && nodes > 0 && next % nodeLeaves === 0) {
          await builder.setZeroNodes((next * leafBytes) / nodeBytes, nodes);
          next += nodes * nodeLeaves;
        } else {
          await push(run.contentId === zero ? undefined : run.contentId);
        }
      }
    }
  }
  await fillTo(leafCount(sizeBytes));
  return { object: await builder.finish(), unknown };
}

/** The leaves that a run fills exactly; a run of short ones can only be the tail. */
function wholeLeaves(run: LeafRun, sizeBytes: number): { first: number; end: number } | undefined {
  if (run.offset % leafBytes !== 0) return undefined;
  const first = run.offset / leafBytes;
  if (run.lengthBytes !== leafBytes) {
    const fits = run.repeat === 1 && runEnd(run) === sizeBytes && run.lengthBytes === leafLength(first, sizeBytes);
    return fits ? { first, end: first + 1 } : undefined;
  }
  // Padding reaches past the end, where a tree has a short leaf.
  const end = Math.min(first + run.repeat, Math.floor(sizeBytes / leafBytes));
  return end > first ? { first, end } : undefined;
}

function noteUnknown(
  unknown: Extent[],
  { first, end, sizeBytes }: { readonly first: number; readonly end: number; readonly sizeBytes: number },
): void {
  const offset = first * leafBytes;
  unknown.push(extent(offset, Math.min(end * leafBytes, sizeBytes) - offset));
}
