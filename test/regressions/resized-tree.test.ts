/**
 * The node in which a resize lies, twice wrong: a checkpoint made before it was set had zeros in its place, which a
 * resumed run then took for its unchanged leaves; and a volume cut at a whole leaf, with no changed leaf in that
 * node, could not be finished.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import type { ContentId } from '../../src/repository/content/content-id.ts';
import { MemoryContents } from '../../src/repository/object/memory-contents.ts';
import type { ObjectId } from '../../src/repository/object/object-id.ts';
import { leaves } from '../../src/repository/object/object-reader.ts';
import { TreeBuilder } from '../../src/repository/tree/tree-builder.ts';
import type { TreeRef } from '../../src/repository/tree/tree-list.ts';
import { leafBytes, leavesOfNode, nodeCount, nodeLeaves } from '../../src/repository/tree/volume-layout.ts';

const { signal } = new AbortController();

function leafOf(store: MemoryContents, leaf: number): ContentId {
  return store.put('', Buffer.from(`leaf ${leaf}`));
}

async function tree(store: MemoryContents, sizeBytes: number): Promise<TreeRef> {
  const builder = new TreeBuilder({ reader: store, writer: store }, { sizeBytes, signal });
  for (let node = 0; node < nodeCount(sizeBytes); node++) {
    const count = leavesOfNode(node, sizeBytes);
    await builder.setNode(
      node,
      Array.from({ length: count }, (_, leaf) => leafOf(store, node * nodeLeaves + leaf)),
    );
  }
  return { object: await builder.finish(), sizeBytes };
}

async function idsOf(store: MemoryContents, object: ObjectId): Promise<ContentId[]> {
  const ids: ContentId[] = [];
  for await (const batch of leaves(store, object, { signal })) {
    for (const run of batch) for (let n = 0; n < run.repeat; n++) ids.push(run.contentId);
  }
  return ids;
}

describe('a tree whose volume was resized', () => {
  for (const [before, after] of [
    [nodeLeaves + 10.5, nodeLeaves + 20],
    [nodeLeaves + 20, nodeLeaves + 10.5],
  ] as const) {
    test(`from ${before} to ${after} leaves, a checkpoint keeps what is not yet set, for the run that goes on from it`, async () => {
      const store = new MemoryContents();
      const base = await tree(store, before * leafBytes);
      const sizeBytes = after * leafBytes;
      const parts = { reader: store, writer: store };
      const first = new TreeBuilder(parts, { sizeBytes, base, signal });
      await first.patchNode(0, new Map([[3, leafOf(store, 1003)]]));
      const checkpoint = { object: await first.checkpoint(), sizeBytes };
      const second = new TreeBuilder(parts, { sizeBytes, base: checkpoint, signal });
      const resized = Array.from({ length: Math.ceil(after - nodeLeaves) - 10 }, (_, n) => 10 + n);
      await second.patchNode(1, new Map(resized.map((leaf) => [leaf, leafOf(store, 2000 + leaf)])));
      const expected = Array.from({ length: Math.ceil(after) }, (_, leaf) => {
        if (leaf === 3) return leafOf(store, 1003);
        return leaf < nodeLeaves + 10 ? leafOf(store, leaf) : leafOf(store, 2000 + leaf - nodeLeaves);
      });
      assert.deepEqual(await idsOf(store, await second.finish()), expected);
    });
  }

  test('cut at a whole leaf, it is finished without a leaf having been set', async () => {
    const store = new MemoryContents();
    const base = await tree(store, (nodeLeaves + 10.5) * leafBytes);
    const sizeBytes = (nodeLeaves + 3) * leafBytes;
    const builder = new TreeBuilder({ reader: store, writer: store }, { sizeBytes, base, signal });
    const expected = Array.from({ length: nodeLeaves + 3 }, (_, leaf) => leafOf(store, leaf));
    const object = await builder.finish();
    assert.deepEqual(await idsOf(store, object), expected);
    assert.equal(object, (await tree(store, sizeBytes)).object);
  });

  test('cut within a leaf, that leaf must be set', async () => {
    const store = new MemoryContents();
    const base = await tree(store, 10.5 * leafBytes);
    const builder = new TreeBuilder({ reader: store, writer: store }, { sizeBytes: 3.5 * leafBytes, base, signal });
    await assert.rejects(builder.finish(), /resized and must be set/);
  });
});
