import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';

import { invert, multiply, multiplyMatrices, power } from './galois.ts';
import { ReedSolomon } from './reed-solomon.ts';

const anyByte = fc.nat({ max: 255 });

test('galois > multiplication is that of a field', () => {
  fc.assert(
    fc.property(anyByte, anyByte, anyByte, (a, b, c) => {
      assert.equal(multiply(a, b), multiply(b, a));
      assert.equal(multiply(a, multiply(b, c)), multiply(multiply(a, b), c));
      assert.equal(multiply(a, b ^ c), multiply(a, b) ^ multiply(a, c));
      assert.equal(multiply(a, 1), a);
    }),
  );
  // x^8 is what the polynomial says.
  assert.equal(multiply(0x80, 2), 0x1d);
  assert.deepEqual([power(0, 0), power(0, 3), power(2, 8), power(7, 255)], [1, 0, 0x1d, 1]);
});

test('galois > a matrix times its inverse is the identity, and one with equal rows has none', () => {
  const rows = [Uint8Array.of(1, 2, 3), Uint8Array.of(4, 5, 6), Uint8Array.of(0, 8, 8)];
  const inverse = invert(rows);
  assert.ok(inverse !== undefined);
  const identity = [Uint8Array.of(1, 0, 0), Uint8Array.of(0, 1, 0), Uint8Array.of(0, 0, 1)];
  assert.deepEqual(multiplyMatrices(rows, inverse), identity);
  assert.equal(invert([rows[0]!, rows[1]!, rows[0]!]), undefined);
});

test('reed-solomon > as many lost shards as there are of parity come back, and one more does not', () => {
  const anyCode = fc.record({
    dataShards: fc.integer({ min: 1, max: 20 }),
    parityShards: fc.integer({ min: 1, max: 9 }),
    shardBytes: fc.integer({ min: 1, max: 9 }),
    seed: fc.nat(),
  });
  fc.assert(
    fc.property(anyCode, fc.infiniteStream(fc.nat()), ({ dataShards, parityShards, shardBytes, seed }, numbers) => {
      const code = new ReedSolomon({ dataShards, parityShards });
      const data = Uint8Array.from({ length: dataShards * shardBytes }, (_, at) => (seed >> (at % 24)) + at * 31);
      const parity = new Uint8Array(parityShards * shardBytes);
      code.encode(data, shardBytes, parity);
      const lost = new Set<number>();
      for (const number of numbers) {
        if (lost.size === parityShards) break;
        lost.add(number % (dataShards + parityShards));
      }
      const damaged = Uint8Array.from(data);
      const damagedParity = Uint8Array.from(parity);
      for (const shard of lost) {
        if (shard < dataShards) damaged.fill(0xaa, shard * shardBytes, (shard + 1) * shardBytes);
        else damagedParity.fill(0xaa, (shard - dataShards) * shardBytes, (shard - dataShards + 1) * shardBytes);
      }
      assert.equal(code.restore(damaged, damagedParity, shardBytes, lost), true);
      assert.deepEqual(damaged, data);
      const all = Array.from({ length: dataShards + parityShards }, (_, shard) => shard);
      lost.add(all.find((shard) => !lost.has(shard))!);
      assert.equal(code.restore(damaged, damagedParity, shardBytes, lost), false);
    }),
  );
});
