import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { leafBytes, leafCount, leavesOfNode, nodeLeaves } from '../repository/tree/volume-layout.ts';
import type { BlockSource } from '../volume/block-source.ts';
import { extent, extentEnd, type Extent } from '../volume/extent.ts';
import { intersectExtents, normalizeExtents } from '../volume/extents.ts';
import { planNodes, type PlanItem } from './node-plan.ts';

const signal = new AbortController().signal;

/** A source of which only the size and the holes matter. */
function sparse(sizeBytes: number, data: readonly Extent[]): BlockSource {
  return {
    location: { path: 'model', kind: 'file', sizeBytes, pastCache: false },
    sizeBytes,
    read: () => Promise.reject(new Error('nothing is read while planning')),
    readCached: () => false,
    async *dataExtents(within) {
      yield* intersectExtents(data, [within]);
    },
    identity: () => Promise.resolve({ kind: 'file', sizeBytes }),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** What the plan says of each leaf: 'read', 'zero', or absent for "as the base has it". */
function leavesOf(items: readonly PlanItem[], sizeBytes: number): Map<number, 'read' | 'zero'> {
  const leaves = new Map<number, 'read' | 'zero'>();
  const set = (first: number, count: number, what: 'read' | 'zero'): void => {
    for (let leaf = first; leaf < first + count; leaf++) {
      assert.ok(!leaves.has(leaf), `leaf ${leaf} is planned twice`);
      leaves.set(leaf, what);
    }
  };
  for (const item of items) {
    if (item.kind === 'zero-nodes') {
      for (let node = item.first; node < item.first + item.nodes; node++) {
        set(node * nodeLeaves, leavesOfNode(node, sizeBytes), 'zero');
      }
      continue;
    }
    for (const { first, leaves: count } of item.read) set(first, count, 'read');
    for (const { first, leaves: count } of item.zero) set(first, count, 'zero');
    const planned = [...item.read, ...item.zero].reduce((sum, range) => sum + range.leaves, 0);
    assert.equal(item.whole, planned === leavesOfNode(item.node, sizeBytes), `node ${item.node} is whole`);
  }
  return leaves;
}

const sizes = fc.oneof(
  fc.integer({ min: 1, max: 300 * leafBytes }),
  fc.integer({ min: 1, max: 300 }).map((leaves) => leaves * leafBytes),
);
const ranges = fc.array(
  fc.tuple(fc.integer({ min: 0, max: 300 * leafBytes }), fc.integer({ min: 1, max: 70 * leafBytes })),
  { maxLength: 8 },
);
const clip = (list: readonly (readonly [number, number])[], sizeBytes: number): Extent[] =>
  intersectExtents(normalizeExtents(list.map(([offset, length]) => extent(offset, length))), [extent(0, sizeBytes)]);

test('node plan > reads every touched leaf that may hold data, and calls zero only what is a hole', async () => {
  await fc.assert(
    fc.asyncProperty(sizes, ranges, fc.option(ranges), async (sizeBytes, dataRanges, touchedRanges) => {
      const data = clip(dataRanges, sizeBytes);
      const touched = touchedRanges === null ? undefined : clip(touchedRanges, sizeBytes);
      const items = await Array.fromAsync(planNodes(sparse(sizeBytes, data), touched, { signal }));
      const planned = leavesOf(items, sizeBytes);
      const touches = (list: readonly Extent[], leaf: number): boolean =>
        list.some((range) => range.offset < (leaf + 1) * leafBytes && extentEnd(range) > leaf * leafBytes);
      for (let leaf = 0; leaf < leafCount(sizeBytes); leaf++) {
        const wanted = touched === undefined || touches(touched, leaf);
        const short = (leaf + 1) * leafBytes > sizeBytes;
        const expected = !wanted ? undefined : touches(data, leaf) || short ? 'read' : 'zero';
        assert.equal(planned.get(leaf), expected, `leaf ${leaf} of ${sizeBytes} bytes`);
      }
    }),
  );
});

test('node plan > says a hole of any size once', async () => {
  const sizeBytes = 16 * 2 ** 40;
  const items = await Array.fromAsync(planNodes(sparse(sizeBytes, [extent(2 ** 40, 10)]), undefined, { signal }));
  assert.deepEqual(
    items.map(({ kind }) => kind),
    ['zero-nodes', 'node', 'zero-nodes'],
  );
});
