/**
 * The flat layout of Velero's block mover, for a repository shared with it: one list of leaves of
 * exactly 1 MiB, the volume padded with zeros, the list's text cut after every 128 KiB. Every run writes the whole
 * list, and memory grows with what has changed, about 100 MiB per TiB: the price of this layout, which is why
 * `tree-1` is the default. Whoever sets the last leaf hashes it padded to 1 MiB.
 */
import assert from 'node:assert/strict';

import { extent } from '../../volume/extent.ts';
import type { ContentId } from '../content/content-id.ts';
import type { ContentReader, ContentWriter } from '../object/content-access.ts';
import { encodeEntry, encodeIndirect, indirectHead, indirectTail } from '../object/indirect.ts';
import type { IndirectEntry } from '../object/indirect.ts';
import { directObjectId, indirectObjectId } from '../object/object-id.ts';
import type { ObjectId } from '../object/object-id.ts';
import { leaves } from '../object/object-reader.ts';
import { RepositoryError } from '../repository-error.ts';
import type { TreeParts, TreeOptions } from './tree-builder.ts';
import type { LeafId, VolumeBuilder } from './volume-builder.ts';
import { flatCutBytes, leafBytes, leafCount, leavesOfNode, nodeBytes, nodeCount, nodeLeaves } from './volume-layout.ts';
import { ZeroTree } from './zero-tree.ts';

/** A leaf that a patch leaves to the base. */
const keep = Symbol('keep');
type Slot = LeafId | typeof keep;

/** `base` may be any object whose leaves are 1 MiB where nothing else is set. */
export class FlatBuilder implements VolumeBuilder {
  readonly #reader: ContentReader;
  readonly #writer: ContentWriter;
  readonly #sizeBytes: number;
  readonly #base: TreeOptions['base'];
  readonly #signal: AbortSignal;
  readonly #zeros: ZeroTree;
  readonly #nodes = new Map<number, readonly Slot[]>();

  constructor({ reader, writer }: TreeParts, { sizeBytes, base, signal }: TreeOptions) {
    this.#reader = reader;
    this.#writer = writer;
    this.#sizeBytes = sizeBytes;
    this.#base = base;
    this.#signal = signal;
    this.#zeros = new ZeroTree(writer, { signal });
  }

  async setNode(node: number, ids: readonly LeafId[]): Promise<void> {
    assert.equal(ids.length, leavesOfNode(node, this.#sizeBytes), `leaves of node ${node}`);
    this.#nodes.set(node, [...ids]);
  }

  async patchNode(node: number, changed: ReadonlyMap<number, LeafId>): Promise<void> {
    const slots = Array.from({ length: leavesOfNode(node, this.#sizeBytes) }, (): Slot => keep);
    for (const [leaf, id] of changed) {
      assert(leaf >= 0 && leaf < slots.length, `node ${node} has no leaf ${leaf}`);
      slots[leaf] = id;
    }
    this.#nodes.set(node, slots);
  }

  async setZeroNodes(first: number, nodes: number): Promise<void> {
    assert(first >= 0 && first + nodes <= nodeCount(this.#sizeBytes), `nodes ${first}+${nodes} end too late`);
    for (let node = first; node < first + nodes; node += 1) {
      const count = leavesOfNode(node, this.#sizeBytes);
      this.#nodes.set(node, count === nodeLeaves ? zeroNode : zeroNode.slice(0, count));
    }
  }

  async baseLeaves(node: number): Promise<readonly LeafId[]> {
    const found: LeafId[] = Array.from({ length: leavesOfNode(node, this.#sizeBytes) }, () => undefined);
    const base = this.#base;
    if (base === undefined) return found;
    const within = extent(node * nodeBytes, nodeBytes);
    for await (const batch of leaves(this.#reader, base.object, { within, signal: this.#signal })) {
      for (const run of batch) {
        for (let n = 0; n < run.repeat; n += 1) {
          const leaf = (run.offset + n * run.lengthBytes) / leafBytes - node * nodeLeaves;
          const known = run.lengthBytes === leafBytes && leaf in found && !this.#isResized(node * nodeLeaves + leaf);
          if (known) found[leaf] = run.contentId;
        }
      }
    }
    return found;
  }

  async checkpoint(): Promise<ObjectId> {
    return await this.#write(false);
  }

  async finish(): Promise<ObjectId> {
    return await this.#write(true);
  }

  async #write(complete: boolean): Promise<ObjectId> {
    if (this.#sizeBytes === 0) return directObjectId(await this.#zeros.leaf(0));
    const pieces: IndirectEntry[] = [];
    let offset = 0;
    const write = async (text: string): Promise<void> => {
      const id = await this.#writer.write('x', Buffer.from(text, 'latin1'), { signal: this.#signal });
      pieces.push({ offset, lengthBytes: text.length, objectId: directObjectId(id) });
      offset += text.length;
    };
    let text = indirectHead;
    let leaf = 0;
    for await (const id of this.#leafIds(complete)) {
      const entry = encodeEntry({ offset: leaf * leafBytes, lengthBytes: leafBytes, objectId: directObjectId(id) });
      text += leaf === 0 ? entry : `,${entry}`;
      leaf += 1;
      if (text.length < flatCutBytes) continue;
      await write(text.slice(0, flatCutBytes));
      text = text.slice(flatCutBytes);
    }
    text += indirectTail;
    for (let start = 0; start < text.length; start += flatCutBytes)
      await write(text.slice(start, start + flatCutBytes));
    if (pieces.length === 1) return indirectObjectId(pieces[0]!.objectId);
    const outer = await this.#writer.write('x', encodeIndirect(pieces), { signal: this.#signal });
    return indirectObjectId(indirectObjectId(directObjectId(outer)));
  }

  async *#leafIds(complete: boolean): AsyncGenerator<ContentId> {
    const zero = async (): Promise<ContentId> => await this.#zeros.leaf(leafBytes);
    const base = this.#baseIds();
    try {
      for (let leaf = 0; leaf < leafCount(this.#sizeBytes); leaf += 1) {
        const below = await base.next();
        const slots = this.#nodes.get(Math.floor(leaf / nodeLeaves));
        const slot = slots === undefined ? keep : slots[leaf % nodeLeaves];
        if (slot !== keep) {
          yield slot ?? (await zero());
          continue;
        }
        const inBase = below.done === true ? undefined : below.value;
        const fits = inBase !== null && !this.#isResized(leaf);
        if (complete && !fits)
          throw new RepositoryError('unsupported', `leaf ${leaf} of the base does not fill 1 MiB and was not set`);
        yield (fits ? inBase : undefined) ?? (await zero());
      }
    } finally {
      await base.return(undefined);
    }
  }

  /** The base's leaves by position; null for a place that no leaf of exactly 1 MiB fills. */
  async *#baseIds(): AsyncGenerator<ContentId | null> {
    if (this.#base === undefined) return;
    let leaf = 0;
    for await (const batch of leaves(this.#reader, this.#base.object, { signal: this.#signal })) {
      for (const run of batch) {
        const aligned = run.lengthBytes === leafBytes && run.offset === leaf * leafBytes;
        const end = Math.ceil((run.offset + run.lengthBytes * run.repeat) / leafBytes);
        for (; leaf < end; leaf += 1) yield aligned ? run.contentId : null;
      }
    }
  }

  /** The leaf in which the base ended or the volume ends now, when these are two different places. */
  #isResized(leaf: number): boolean {
    const base = this.#base;
    if (base === undefined || base.sizeBytes === this.#sizeBytes) return false;
    const common = Math.min(base.sizeBytes, this.#sizeBytes);
    return common % leafBytes !== 0 && leaf === Math.floor(common / leafBytes);
  }
}

const zeroNode: readonly undefined[] = Array.from({ length: nodeLeaves }, () => undefined);
