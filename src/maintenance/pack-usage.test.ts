import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { PackUsage } from './pack-usage.ts';

test('pack usage > tells of every pack what a map tells', () => {
  const addition = fc.tuple(fc.string({ maxLength: 6 }), fc.nat(1000));
  fc.assert(
    fc.property(fc.array(addition, { maxLength: 5000, minLength: 0 }), fc.nat(2000), (additions, below) => {
      const usage = new PackUsage();
      const map = new Map<string, number>();
      for (const [pack, bytes] of additions) {
        usage.add(pack, bytes);
        map.set(pack, (map.get(pack) ?? 0) + bytes);
      }
      assert.equal(usage.count, map.size);
      for (const [pack, bytes] of map) assert.equal(usage.bytesIn(pack), bytes);
      assert.equal(usage.bytesIn('another, longer name'), undefined);
      assert.equal(usage.countBelow(below), [...map.values()].filter((bytes) => bytes < below).length);
    }),
    { numRuns: 50 },
  );
});

test('pack usage > grows past its first size, and keeps packs that hold nothing', () => {
  const usage = new PackUsage();
  for (let n = 0; n < 20_000; n++) usage.add(`p${n.toString(16).padStart(32, '0')}-s0123456789abcdef141`, n % 3);
  assert.equal(usage.count, 20_000);
  assert.equal(usage.bytesIn(`p${'3'.padStart(32, '0')}-s0123456789abcdef141`), 0);
  assert.equal(usage.bytesIn(`q${'3'.padStart(32, '0')}-s0123456789abcdef141`), undefined);
});
