import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { decompress } from '../../src/repository/content/compression.ts';
import { fuzz } from './fuzz.ts';
import { fuzzTargets } from './targets.ts';

/** Of each decoder; `npm run fuzz` gives it twenty thousand and more. */
const count = 250;

describe('a damaged or forged input is refused by name or read as what it says', async () => {
  for (const target of await fuzzTargets()) {
    test(target.name, async () => {
      const { failures, inputs } = await fuzz(target, { seed: 1, count });
      assert.deepEqual(failures, []);
      assert.equal(inputs, count);
      assert.ok(target.valid.length > 0);
    });
  }
});

test('the fuzzer > sees an untyped error, a valid input that is refused, and a decoder that takes too much', async () => {
  const valid = [Buffer.from('fine')];
  const bounds = { ms: 60_000, bytes: 10_000_000 };
  const failing = async (decode: (bytes: Uint8Array) => unknown): Promise<number> =>
    (await fuzz({ name: 'x', valid, decode }, { seed: 1, count: 50, bounds })).failures.length;
  assert.equal(await failing(() => undefined), 0);
  assert.ok((await failing((bytes) => JSON.parse(Buffer.from(bytes).toString()))) > 0);
  assert.ok((await failing(() => new Uint8Array(50_000_000).length)) > 0);
});

test('a stream that holds more than is declared is given up where that ends', () => {
  const bomb = Buffer.concat([Buffer.of(0, 0, 0x10, 0), gzipSync(Buffer.alloc(200_000_000))]);
  const before = process.memoryUsage().arrayBuffers;
  assert.throws(() => decompress(0x1000, bomb, { originalLength: 1000 }), { code: 'corrupt' });
  assert.ok(process.memoryUsage().arrayBuffers - before < 1_000_000);
});
