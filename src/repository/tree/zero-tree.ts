/** The leaf and the node of a volume that consist of zeros, written when they are first used. */
import type { ContentId } from '../content/content-id.ts';
import type { ContentWriter } from '../object/content-access.ts';
import type { ObjectId } from '../object/object-id.ts';
import { leafCount, leafLength } from './volume-layout.ts';
import { writeNode } from './tree-node.ts';

export class ZeroTree {
  readonly #writer: ContentWriter;
  readonly #signal: AbortSignal;
  readonly #leaves = new Map<number, Promise<ContentId>>();
  readonly #nodes = new Map<number, Promise<ObjectId>>();

  constructor(writer: ContentWriter, { signal }: { readonly signal: AbortSignal }) {
    this.#writer = writer;
    this.#signal = signal;
  }

  leaf(lengthBytes: number): Promise<ContentId> {
    let leaf = this.#leaves.get(lengthBytes);
    if (leaf === undefined) {
      leaf = this.#writer.write('', new Uint8Array(lengthBytes), { signal: this.#signal });
      this.#leaves.set(lengthBytes, leaf);
    }
    return leaf;
  }

  node(lengthBytes: number): Promise<ObjectId> {
    let node = this.#nodes.get(lengthBytes);
    if (node === undefined) {
      node = this.#writeNode(lengthBytes);
      this.#nodes.set(lengthBytes, node);
    }
    return node;
  }

  async #writeNode(lengthBytes: number): Promise<ObjectId> {
    const leaves: ContentId[] = [];
    for (let leaf = 0; leaf < leafCount(lengthBytes); leaf += 1) {
      leaves.push(await this.leaf(leafLength(leaf, lengthBytes)));
    }
    return await writeNode(this.#writer, { leaves, lengthBytes, signal: this.#signal });
  }
}
