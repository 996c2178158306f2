/**
 * Geometry of a volume in a repository. All borders are fixed by position, so that equal data gives equal ids:
 * leaves of 1 MiB, nodes of 64 leaves (64 MiB), and a list of nodes that is cut after every 2,048 entries (128 GiB).
 * Neither larger nodes nor a fourth tier: Kopia's reader allocates the whole length of an entry that is itself
 * indirect. A volume of 0 bytes is one empty content; any other has at least one node, its last leaf as short as the
 * volume ends. The flat layout is that of Velero's block mover.
 */
import assert from 'node:assert/strict';

export const leafBytes: number = 1024 * 1024;
export const nodeLeaves = 64;
export const nodeBytes: number = nodeLeaves * leafBytes;
export const listEntries = 2_048;
/** What one piece of the list covers. */
export const pieceBytes: number = listEntries * nodeBytes;
/** Where the text of a flat list is cut. */
export const flatCutBytes: number = 128 * 1024;

/** The value of the layout tag: the shape and its version. */
export type Layout = 'tree-1' | 'flat-1';

export function leafCount(sizeBytes: number): number {
  return Math.ceil(sizeBytes / leafBytes);
}

export function nodeCount(sizeBytes: number): number {
  return Math.ceil(sizeBytes / nodeBytes);
}

export function pieceCount(sizeBytes: number): number {
  return Math.ceil(sizeBytes / pieceBytes);
}

/** Bytes of leaf `leaf` of the volume: 1 MiB, less for the tail. */
export function leafLength(leaf: number, sizeBytes: number): number {
  return part(leaf, leafBytes, sizeBytes);
}

export function nodeLength(node: number, sizeBytes: number): number {
  return part(node, nodeBytes, sizeBytes);
}

/** Leaves of node `node`: 64, fewer in the last one. */
export function leavesOfNode(node: number, sizeBytes: number): number {
  return leafCount(nodeLength(node, sizeBytes));
}

/** Entries of piece `piece` of the list: 2,048, fewer in the last one. */
export function entriesOfPiece(piece: number, sizeBytes: number): number {
  return nodeCount(part(piece, pieceBytes, sizeBytes));
}

function part(index: number, partBytes: number, sizeBytes: number): number {
  const offset = index * partBytes;
  assert(index >= 0 && offset < sizeBytes, `part ${index} of ${partBytes} bytes lies past ${sizeBytes}`);
  return Math.min(partBytes, sizeBytes - offset);
}
