import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import fc from 'fast-check';

import { hasCode } from '../../std/dray-error.ts';
import type { ContentId } from '../content/content-id.ts';
import { MemoryContents } from '../object/memory-contents.ts';
import type { ObjectId } from '../object/object-id.ts';
import { leaves } from '../object/object-reader.ts';
import { TreeBuilder } from './tree-builder.ts';
import type { TreeRef } from './tree-list.ts';
import type { LeafId } from './volume-builder.ts';
import {
  leafBytes,
  leafCount,
  leavesOfNode,
  listEntries,
  nodeBytes,
  nodeCount,
  nodeLeaves,
  pieceBytes,
} from './volume-layout.ts';

const { signal } = new AbortController();
const mebibyte = leafBytes;

/** A leaf's id stands for data that tests need not hold. */
function leafOf(store: MemoryContents, seed: number): ContentId {
  return store.put('', Buffer.from(`leaf ${seed}`));
}

const zeroIds = new Map<number, ContentId>();

function zeroOf(lengthBytes: number): ContentId {
  const id = zeroIds.get(lengthBytes) ?? new MemoryContents().put('', new Uint8Array(lengthBytes));
  zeroIds.set(lengthBytes, id);
  return id;
}

async function idsOf(
  store: MemoryContents,
  tree: TreeRef,
): Promise<Map<number, { id: ContentId; lengthBytes: number }>> {
  const found = new Map<number, { id: ContentId; lengthBytes: number }>();
  for await (const batch of leaves(store, tree.object, { signal })) {
    for (const run of batch) {
      for (let n = 0; n < run.repeat; n += 1) {
        const offset = run.offset + n * run.lengthBytes;
        assert.equal(offset % leafBytes, 0);
        found.set(offset / leafBytes, { id: run.contentId, lengthBytes: run.lengthBytes });
      }
    }
  }
  return found;
}

/** The volume as a list of leaves; undefined is zeros. */
type Model = { sizeBytes: number; leaves: LeafId[] };

async function check(store: MemoryContents, object: ObjectId, model: Model): Promise<void> {
  const { sizeBytes } = model;
  const found = await idsOf(store, { object, sizeBytes });
  assert.equal(found.size, leafCount(sizeBytes));
  for (let leaf = 0; leaf < leafCount(sizeBytes); leaf += 1) {
    const lengthBytes = Math.min(leafBytes, sizeBytes - leaf * leafBytes);
    const id = model.leaves[leaf] ?? zeroOf(lengthBytes);
    assert.deepEqual(found.get(leaf), { id, lengthBytes }, `leaf ${leaf}`);
  }
}

async function full(store: MemoryContents, { sizeBytes, leaves: ids }: Model): Promise<ObjectId> {
  const builder = new TreeBuilder({ reader: store, writer: store }, { sizeBytes, signal });
  for (let node = nodeCount(sizeBytes) - 1; node >= 0; node -= 1) {
    const count = leavesOfNode(node, sizeBytes);
    await builder.setNode(
      node,
      Array.from({ length: count }, (_, leaf) => ids[node * nodeLeaves + leaf]),
    );
  }
  return await builder.finish();
}

const sizes = fc.oneof(
  fc.nat(3 * nodeBytes),
  fc.nat(200).map((count) => count * mebibyte),
  fc.constantFrom(0, 1, mebibyte, nodeBytes, nodeBytes + 1, 2 * nodeBytes - 1),
);
const change = fc.record({ leaf: fc.nat(), seed: fc.option(fc.nat(5)), whole: fc.boolean() });

describe('tree builder', () => {
  test('builds the same tree from an increment as from everything, and it has exactly the leaves set', async () => {
    await fc.assert(
      fc.asyncProperty(
        sizes,
        fc.array(
          fc.record({
            sizeBytes: fc.option(sizes),
            changes: fc.array(change, { maxLength: 8 }),
            checkpoint: fc.boolean(),
          }),
          {
            minLength: 1,
            maxLength: 4,
          },
        ),
        async (firstSize, runs) => {
          const store = new MemoryContents();
          let base: TreeRef | undefined;
          let model: Model = { sizeBytes: firstSize, leaves: [] };
          for (const run of runs) {
            const sizeBytes = run.sizeBytes ?? model.sizeBytes;
            const next = applyModel(store, model, { sizeBytes, changes: run.changes });
            const builder = new TreeBuilder({ reader: store, writer: store }, { sizeBytes, base, signal });
            await applyChanges(builder, { before: base === undefined ? undefined : model, after: next, run });
            const object = await builder.finish();
            await check(store, object, next);
            assert.equal(object, await full(store, next));
            model = next;
            base = { object, sizeBytes };
          }
        },
      ),
      { numRuns: 80 },
    );
  });

  test('cuts the list after 2,048 nodes and reuses untouched pieces without reading them', async () => {
    const store = new MemoryContents();
    const sizeBytes = 3 * pieceBytes + 5 * nodeBytes + 3;
    const model: Model = { sizeBytes, leaves: [] };
    const first = new TreeBuilder({ reader: store, writer: store }, { sizeBytes, signal });
    const object = await first.finish();
    assert.match(object, /^IIx/);
    store.reads.length = 0;
    store.writes.length = 0;
    const base = { object, sizeBytes };
    const same = new TreeBuilder({ reader: store, writer: store }, { sizeBytes, base, signal });
    assert.equal(await same.finish(), object);
    assert.equal(store.reads.length, 1);
    assert.equal(store.writes.length, 1);
    const touched = new TreeBuilder({ reader: store, writer: store }, { sizeBytes, base, signal });
    const leaf = leafOf(store, 1);
    await touched.patchNode(listEntries + 7, new Map([[3, leaf]]));
    store.reads.length = 0;
    store.writes.length = 0;
    const changed = await touched.finish();
    // The node was written before; now the piece and what names it are.
    assert.equal(store.writes.length, 2);
    assert.equal(store.reads.length, 0);
    model.leaves[(listEntries + 7) * nodeLeaves + 3] = leaf;
    const found = await idsOf(store, { object: changed, sizeBytes });
    assert.equal(found.get((listEntries + 7) * nodeLeaves + 3)!.id, leaf);
    assert.equal(found.size, leafCount(sizeBytes));
  });

  test('costs two contents for no change on 16 TiB', async () => {
    const store = new MemoryContents();
    const sizeBytes = 16 * 1024 ** 4;
    const object = await new TreeBuilder({ reader: store, writer: store }, { sizeBytes, signal }).finish();
    store.reads.length = 0;
    store.writes.length = 0;
    const base = { object, sizeBytes };
    assert.equal(await new TreeBuilder({ reader: store, writer: store }, { sizeBytes, base, signal }).finish(), object);
    assert.equal(store.reads.length + store.writes.length, 2);
  });

  test('gives a valid whole object at every checkpoint: what is set, and the base below', async () => {
    const store = new MemoryContents();
    const sizeBytes = 2 * nodeBytes + 1;
    const before: Model = { sizeBytes, leaves: Array.from({ length: 129 }, (_, leaf) => leafOf(store, leaf)) };
    const base = { object: await full(store, before), sizeBytes };
    const builder = new TreeBuilder({ reader: store, writer: store }, { sizeBytes, base, signal });
    assert.equal(await builder.checkpoint(), base.object);
    const after: Model = { sizeBytes, leaves: [...before.leaves] };
    for (const node of [1, 2, 0]) {
      const leaf = leafOf(store, 1_000 + node);
      after.leaves[node * nodeLeaves] = leaf;
      await builder.patchNode(node, new Map([[0, leaf]]));
      await check(store, await builder.checkpoint(), after);
    }
    assert.equal(await builder.finish(), await builder.checkpoint());
  });

  test('goes on from a checkpoint to the same object', async () => {
    const store = new MemoryContents();
    const sizeBytes = 5 * nodeBytes + 77;
    const model: Model = { sizeBytes, leaves: Array.from({ length: 321 }, (_, leaf) => leafOf(store, leaf % 9)) };
    const part = (node: number): LeafId[] =>
      model.leaves.slice(node * nodeLeaves, node * nodeLeaves + leavesOfNode(node, sizeBytes));
    const killed = new TreeBuilder({ reader: store, writer: store }, { sizeBytes, signal });
    for (const node of [0, 1, 4]) await killed.setNode(node, part(node));
    const base = { object: await killed.checkpoint(), sizeBytes };
    const resumed = new TreeBuilder({ reader: store, writer: store }, { sizeBytes, base, signal });
    for (const node of [2, 3, 5]) await resumed.setNode(node, part(node));
    assert.equal(await resumed.finish(), await full(store, model));
  });

  test('does not let a resized tail pass for data', async () => {
    const store = new MemoryContents();
    const tail = leafOf(store, 7);
    const base = {
      object: await full(store, { sizeBytes: 1.5 * mebibyte, leaves: [tail, tail] }),
      sizeBytes: 1.5 * mebibyte,
    };
    for (const sizeBytes of [mebibyte + 1, 3 * mebibyte, 2 * nodeBytes]) {
      const builder = new TreeBuilder({ reader: store, writer: store }, { sizeBytes, base, signal });
      await assert.rejects(builder.finish(), /resized/);
      await assert.rejects(builder.patchNode(0, new Map([[0, tail]])), /resized/);
      assert.equal((await builder.baseLeaves(0))[0], tail);
      assert.equal((await builder.baseLeaves(0))[1], undefined);
      await builder.patchNode(0, new Map([[1, tail]]));
      await builder.finish();
    }
    const shrunk = new TreeBuilder({ reader: store, writer: store }, { sizeBytes: mebibyte, base, signal });
    await shrunk.patchNode(0, new Map());
    await check(store, await shrunk.finish(), { sizeBytes: mebibyte, leaves: [tail] });
  });

  test('resizes across pieces of the list', async () => {
    const store = new MemoryContents();
    const steps = [1, 2, 3].flatMap((n) => [
      n * pieceBytes - nodeBytes,
      n * pieceBytes,
      n * pieceBytes + 5 * nodeBytes,
    ]);
    const trees = new Map<number, ObjectId>();
    for (const sizeBytes of steps) {
      trees.set(sizeBytes, await new TreeBuilder({ reader: store, writer: store }, { sizeBytes, signal }).finish());
    }
    for (const before of steps) {
      for (const after of steps) {
        const base = { object: trees.get(before)!, sizeBytes: before };
        const builder = new TreeBuilder({ reader: store, writer: store }, { sizeBytes: after, base, signal });
        assert.equal(await builder.finish(), trees.get(after)!, `${before} to ${after}`);
      }
    }
  });

  test('gives a valid checkpoint before a resized node is set', async () => {
    const store = new MemoryContents();
    const base = { object: await full(store, { sizeBytes: 1.5 * mebibyte, leaves: [] }), sizeBytes: 1.5 * mebibyte };
    const sizeBytes = 3 * mebibyte;
    const builder = new TreeBuilder({ reader: store, writer: store }, { sizeBytes, base, signal });
    await check(store, await builder.checkpoint(), { sizeBytes, leaves: [] });
  });

  test('refuses a base that is no tree of its size', async () => {
    const store = new MemoryContents();
    const object = await full(store, { sizeBytes: 3 * nodeBytes, leaves: [] });
    for (const sizeBytes of [2 * nodeBytes, 3 * nodeBytes - 1, pieceBytes + 1]) {
      const builder = new TreeBuilder(
        { reader: store, writer: store },
        { sizeBytes, base: { object, sizeBytes }, signal },
      );
      await assert.rejects(builder.baseLeaves(0), (error) => hasCode(error, 'corrupt'));
    }
  });

  test('writes the zero leaf only when something is zero', async () => {
    const store = new MemoryContents();
    const zero = new MemoryContents().put('', new Uint8Array(leafBytes));
    const leaf = leafOf(store, 1);
    await full(store, { sizeBytes: 2 * mebibyte, leaves: [leaf, leaf] });
    assert.equal(store.contents.has(zero), false);
    await full(store, { sizeBytes: 2 * mebibyte, leaves: [leaf, undefined] });
    assert.equal(store.contents.has(zero), true);
  });
});

interface Run {
  readonly changes: readonly { leaf: number; seed: number | null; whole: boolean }[];
  readonly checkpoint: boolean;
}

function applyModel(
  store: MemoryContents,
  model: Model,
  { sizeBytes, changes }: { sizeBytes: number; changes: Run['changes'] },
): Model {
  const count = leafCount(sizeBytes);
  const result = Array.from({ length: count }, (_, leaf) => model.leaves[leaf]);
  if (count === 0) return { sizeBytes, leaves: [] };
  for (const { leaf, seed } of changes) result[leaf % count] = seed === null ? undefined : leafOf(store, seed);
  // What the base's last leaf becomes by a resize is always read again.
  const last = Math.min(leafCount(model.sizeBytes), count) - 1;
  if (model.sizeBytes !== sizeBytes && last >= 0) result[last] = leafOf(store, 99);
  return { sizeBytes, leaves: result };
}

async function applyChanges(
  builder: TreeBuilder,
  { before, after, run }: { before: Model | undefined; after: Model; run: Run },
): Promise<void> {
  for (let node = 0; node < nodeCount(after.sizeBytes); node += 1) {
    const count = leavesOfNode(node, after.sizeBytes);
    const first = node * nodeLeaves;
    const now = after.leaves.slice(first, first + count);
    const changed = new Map<number, LeafId>();
    const common = before === undefined ? 0 : Math.min(leafCount(before.sizeBytes), leafCount(after.sizeBytes));
    const resized = before !== undefined && before.sizeBytes !== after.sizeBytes ? common - 1 : -1;
    for (const [leaf, id] of now.entries()) {
      if (id !== before?.leaves[first + leaf] || first + leaf === resized) changed.set(leaf, id);
    }
    if (changed.size === 0) continue;
    const whole = run.changes.some((item) => item.whole);
    if (now.every((id) => id === undefined)) await builder.setZeroNodes(node, 1);
    else if (whole || before === undefined) await builder.setNode(node, now);
    else await builder.patchNode(node, changed);
    if (run.checkpoint) await builder.checkpoint();
  }
}
