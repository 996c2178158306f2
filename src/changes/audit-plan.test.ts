import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { planAudit } from './audit-plan.ts';

test('audit > looks at every unchanged chunk within ceil(chunks / sample) runs', () => {
  const runs = fc.record({ chunks: fc.integer({ min: 1, max: 3000 }), sample: fc.integer({ min: 1, max: 64 }) });
  fc.assert(
    fc.property(runs, ({ chunks, sample }) => {
      const seen = new Set<number>();
      let cursor = 0;
      for (let run = 0; run < Math.ceil(chunks / sample); run++) {
        const plan = planAudit({ chunks, sampleChunks: sample, cursor, isChanged: () => false });
        assert.ok(plan.chunks.length <= sample);
        assert.equal(new Set(plan.chunks).size, plan.chunks.length);
        for (const chunk of plan.chunks) seen.add(chunk);
        cursor = plan.nextCursor;
      }
      assert.equal(seen.size, chunks);
    }),
  );
});

test('audit > never spends its sample on chunks that the run reads anyway', () => {
  const plan = planAudit({ chunks: 1000, sampleChunks: 50, cursor: 7, isChanged: (chunk) => chunk % 2 === 0 });
  assert.equal(plan.chunks.length, 50);
  assert.ok(plan.chunks.every((chunk) => chunk % 2 === 1));
});

test('audit > of an empty volume is empty', () => {
  assert.deepEqual(planAudit({ chunks: 0, sampleChunks: 64, cursor: 3, isChanged: () => false }), {
    chunks: [],
    nextCursor: 0,
  });
});
