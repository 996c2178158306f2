/**
 * Builds a volume tree (layout `tree-1`) out of nodes in any order, on top of a base tree of the same layout or of
 * nothing. Pieces of the base's list that nobody touches are taken over by id without being read, so that an increment
 * costs what it changes, on a volume of any size. Memory: the node ids of touched pieces, about 100 bytes per 64 MiB.
 *
 * The base is trusted to be whole; its contents must be readable through `reader` (flushed). What this builder writes
 * is never read back.
 */
import assert from 'node:assert/strict';

import type { ContentId } from '../content/content-id.ts';
import type { ContentReader, ContentWriter } from '../object/content-access.ts';
import { directObjectId } from '../object/object-id.ts';
import type { ObjectId } from '../object/object-id.ts';
import { TreeList, encodePiece, writeListRoot } from './tree-list.ts';
import type { ListPiece, TreeRef } from './tree-list.ts';
import { readNode, writeNode } from './tree-node.ts';
import type { LeafId, VolumeBuilder } from './volume-builder.ts';
import * as layout from './volume-layout.ts';
import { ZeroTree } from './zero-tree.ts';

export interface TreeParts {
  readonly reader: ContentReader;
  readonly writer: ContentWriter;
}

export interface TreeOptions {
  readonly sizeBytes: number;
  /** A tree of the layout `tree-1`, of any size. */
  readonly base?: TreeRef | undefined;
  readonly signal: AbortSignal;
}

/** One piece of the list under construction. */
interface Piece {
  /** Node ids; undefined is a node of zeros. */
  readonly nodes: (ObjectId | undefined)[];
  /** How it is stored, when that is up to date. */
  stored: ListPiece | undefined;
}

export class TreeBuilder implements VolumeBuilder {
  readonly #reader: ContentReader;
  readonly #writer: ContentWriter;
  readonly #sizeBytes: number;
  readonly #base: TreeList | undefined;
  readonly #signal: AbortSignal;
  readonly #zeros: ZeroTree;
  readonly #pieces = new Map<number, Promise<Piece>>();
  /** The node that a resize made longer or shorter: what the base says of it does not fit any more. */
  readonly #resized: number | undefined;
  #resizedIsSet = false;

  constructor({ reader, writer }: TreeParts, { sizeBytes, base, signal }: TreeOptions) {
    this.#reader = reader;
    this.#writer = writer;
    this.#sizeBytes = sizeBytes;
    this.#base = base === undefined ? undefined : new TreeList(reader, base, { signal });
    this.#signal = signal;
    this.#zeros = new ZeroTree(writer, { signal });
    this.#resized = base === undefined ? undefined : resizedNode(base.sizeBytes, sizeBytes);
  }

  async setNode(node: number, leaves: readonly LeafId[]): Promise<void> {
    await this.#set(node, await this.#write(node, leaves));
  }

  async patchNode(node: number, changed: ReadonlyMap<number, LeafId>): Promise<void> {
    const leaves = [...(await this.baseLeaves(node))];
    for (const [leaf, id] of changed) {
      assert(leaf >= 0 && leaf < leaves.length, `node ${node} has no leaf ${leaf}`);
      leaves[leaf] = id;
    }
    const resized = node === this.#resized ? this.#resizedLeaf() : undefined;
    assert(
      resized === undefined || changed.has(resized),
      `leaf ${resized} of node ${node} was resized and must be set`,
    );
    await this.setNode(node, leaves);
  }

  async baseLeaves(node: number): Promise<readonly LeafId[]> {
    const count = layout.leavesOfNode(node, this.#sizeBytes);
    const ids = await this.#baseNode(node);
    const first = node * layout.nodeLeaves;
    return Array.from({ length: count }, (_, leaf) =>
      leaf < ids.length && this.#fits(first + leaf) ? ids[leaf] : undefined,
    );
  }

  async setZeroNodes(first: number, nodes: number): Promise<void> {
    assert(first >= 0 && first + nodes <= layout.nodeCount(this.#sizeBytes), `nodes ${first}+${nodes} end too late`);
    for (let node = first; node < first + nodes;) {
      const piece = Math.floor(node / layout.listEntries);
      const entries = layout.entriesOfPiece(piece, this.#sizeBytes);
      const whole = node === piece * layout.listEntries && first + nodes - node >= entries;
      if (whole && this.#base === undefined) {
        this.#pieces.set(piece, Promise.resolve({ nodes: emptyNodes(entries), stored: undefined }));
        node += entries;
      } else {
        // The base may say zeros as well, and then its piece stays.
        await this.#set(node, await this.#zeros.node(layout.nodeLength(node, this.#sizeBytes)));
        node += 1;
      }
    }
  }

  async checkpoint(): Promise<ObjectId> {
    if (this.#sizeBytes === 0) return directObjectId(await this.#zeros.leaf(0));
    const stored: ListPiece[] = [];
    for (let piece = 0; piece < layout.pieceCount(this.#sizeBytes); piece += 1) stored.push(await this.#store(piece));
    return await writeListRoot(this.#writer, stored, { signal: this.#signal });
  }

  async finish(): Promise<ObjectId> {
    const isOpen = this.#resized !== undefined && !this.#resizedIsSet && this.#resizedLeaf() !== undefined;
    assert(!isOpen, `node ${this.#resized} was resized and must be set`);
    return await this.checkpoint();
  }

  async #write(node: number, leaves: readonly LeafId[]): Promise<ObjectId> {
    const lengthBytes = layout.nodeLength(node, this.#sizeBytes);
    assert.equal(leaves.length, layout.leafCount(lengthBytes), `leaves of node ${node}`);
    const ids: ContentId[] = [];
    for (const [leaf, id] of leaves.entries()) {
      ids.push(id ?? (await this.#zeros.leaf(layout.leafLength(leaf, lengthBytes))));
    }
    return await writeNode(this.#writer, { leaves: ids, lengthBytes, signal: this.#signal });
  }

  async #baseNode(node: number): Promise<readonly ContentId[]> {
    const base = this.#base;
    if (base === undefined || node >= layout.nodeCount(base.sizeBytes)) return [];
    const nodes = await base.nodes(Math.floor(node / layout.listEntries));
    const id = nodes[node % layout.listEntries]!;
    const lengthBytes = layout.nodeLength(node, base.sizeBytes);
    return await readNode(this.#reader, { node: id, lengthBytes, signal: this.#signal });
  }

  /** The leaf of the resized node whose length has changed, by its number in the node. */
  #resizedLeaf(): number | undefined {
    const last = Math.ceil(Math.min(this.#base!.sizeBytes, this.#sizeBytes) / layout.leafBytes) - 1;
    return this.#fits(last) ? undefined : last % layout.nodeLeaves;
  }

  /** True when a leaf of the base is as long as it is now. */
  #fits(leaf: number): boolean {
    return layout.leafLength(leaf, this.#base!.sizeBytes) === layout.leafLength(leaf, this.#sizeBytes);
  }

  async #set(node: number, id: ObjectId): Promise<void> {
    const piece = await this.#piece(Math.floor(node / layout.listEntries));
    const index = node % layout.listEntries;
    if (node === this.#resized) this.#resizedIsSet = true;
    // A node that the base has as well leaves the piece as it is stored.
    if (piece.nodes[index] === id) return;
    piece.nodes[index] = id;
    piece.stored = undefined;
  }

  #piece(piece: number): Promise<Piece> {
    let loading = this.#pieces.get(piece);
    if (loading === undefined) {
      loading = this.#load(piece);
      this.#pieces.set(piece, loading);
    }
    return loading;
  }

  /** A piece as the base has it, as long as the volume is now. */
  async #load(piece: number): Promise<Piece> {
    const entries = layout.entriesOfPiece(piece, this.#sizeBytes);
    const base = this.#base;
    if (base === undefined || piece >= layout.pieceCount(base.sizeBytes)) {
      return { nodes: emptyNodes(entries), stored: undefined };
    }
    const inBase = await base.nodes(piece);
    const first = piece * layout.listEntries;
    const nodes = Array.from({ length: entries }, (_, index) =>
      first + index === this.#resized ? undefined : inBase[index],
    );
    return { nodes, stored: this.#isReusable(piece) ? await base.piece(piece) : undefined };
  }

  async #store(piece: number): Promise<ListPiece> {
    if (!this.#pieces.has(piece) && this.#isReusable(piece)) return await this.#base!.piece(piece);
    const state = await this.#piece(piece);
    if (state.stored !== undefined) return state.stored;
    const first = piece * layout.listEntries;
    const before = [...state.nodes];
    const nodes: ObjectId[] = [];
    for (const [index, id] of before.entries()) {
      nodes.push(id ?? (await this.#unset(first + index)));
    }
    const bytes = encodePiece(piece, { nodes, sizeBytes: this.#sizeBytes });
    const stored: ListPiece = {
      contentId: await this.#writer.write('x', bytes, { signal: this.#signal }),
      lengthBytes: bytes.length,
    };
    // A node may have been set while this was written.
    if (before.every((id, index) => id === state.nodes[index])) state.stored = stored;
    return stored;
  }

  /** A node that nobody has set and the base does not have as it is now: zeros, but for what a resize has left of it. */
  async #unset(node: number): Promise<ObjectId> {
    if (node === this.#resized) return await this.#write(node, await this.baseLeaves(node));
    return await this.#zeros.node(layout.nodeLength(node, this.#sizeBytes));
  }

  /** True when the base's piece is byte for byte what an untouched piece is here. */
  #isReusable(piece: number): boolean {
    if (this.#base === undefined) return false;
    const { sizeBytes } = this.#base;
    if (sizeBytes === this.#sizeBytes) return true;
    return piece < Math.min(layout.pieceCount(sizeBytes), layout.pieceCount(this.#sizeBytes)) - 1;
  }
}

function resizedNode(before: number, after: number): number | undefined {
  const last = Math.min(layout.nodeCount(before), layout.nodeCount(after)) - 1;
  if (last < 0 || layout.nodeLength(last, before) === layout.nodeLength(last, after)) return undefined;
  return last;
}

function emptyNodes(entries: number): (ObjectId | undefined)[] {
  return Array.from({ length: entries }, () => undefined);
}
