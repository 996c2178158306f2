import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSwaps, usesOf } from './device-uses.ts';

test('device uses > swaps are read from their table', () => {
  const text = 'Filename\tType\tSize\tUsed\tPriority\n/dev/zram0   partition\t1\t0\t100\n/swap\\040file file 1 0 -2\n';
  assert.deepEqual(parseSwaps(text), ['/dev/zram0', '/swap file']);
});

test('device uses > there are none of what does not exist', async () => {
  const { signal } = new AbortController();
  assert.deepEqual(await usesOf('/no/such/device', { signal }), []);
});
