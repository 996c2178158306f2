import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import fc from 'fast-check';

import { DoneRanges, recordedRangesMax } from './done-ranges.ts';

const additions = fc.array(fc.record({ first: fc.nat(400), nodes: fc.nat(6) }), { maxLength: 150 });

function build(items: readonly { first: number; nodes: number }[]): { done: DoneRanges; model: Set<number> } {
  const done = new DoneRanges();
  const model = new Set<number>();
  for (const { first, nodes } of items) {
    done.add(first, nodes);
    for (let node = first; node < first + nodes; node += 1) model.add(node);
  }
  return { done, model };
}

describe('done ranges', () => {
  test('are a set of nodes', () => {
    fc.assert(
      fc.property(additions, (items) => {
        const { done, model } = build(items);
        const copy = done.clone();
        done.add(1_000, 5);
        assert.equal(copy.nodes, model.size);
        for (let node = 0; node < 410; node += 1) assert.equal(copy.has(node), model.has(node));
        let watermark = 0;
        while (model.has(watermark)) watermark += 1;
        assert.equal(copy.watermark, watermark);
      }),
    );
  });

  test('record at most 64 ranges, normal, and never claim more than is done', () => {
    fc.assert(
      fc.property(additions, (items) => {
        const { done, model } = build(items);
        const recorded = done.recorded();
        assert.ok(recorded.ranges.length <= recordedRangesMax);
        let end = recorded.watermark;
        for (const range of recorded.ranges) {
          assert.ok(range.first > end && range.nodes > 0);
          end = range.first + range.nodes;
        }
        const back = DoneRanges.from(recorded);
        for (let node = 0; node < 410; node += 1) assert.ok(!back.has(node) || model.has(node));
        assert.deepEqual(back.recorded(), recorded);
        let holes = 0;
        for (let node = 1; node < 410; node += 1) if (model.has(node) && !model.has(node - 1)) holes += 1;
        if (holes <= recordedRangesMax) assert.equal(back.nodes, model.size);
      }),
    );
  });

  test('drop the smallest ranges first', () => {
    const done = new DoneRanges();
    for (let n = 0; n < 100; n += 1) done.add(10 + n * 10, 1 + (n % 7));
    assert.equal(Math.min(...done.recorded().ranges.map((range) => range.nodes)), 3);
  });
});
