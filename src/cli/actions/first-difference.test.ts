import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { firstDifference } from './first-difference.ts';

test('first difference > finds one byte anywhere, a shorter file, and nothing in equal ones', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'dray-difference-'));
  t.after(async () => await rm(folder, { recursive: true }));
  const [a, b] = [join(folder, 'a'), join(folder, 'b')];
  const bytes = Buffer.alloc(9 * 1024 * 1024 + 3, 'drayage');
  await writeFile(a, bytes);
  await writeFile(b, bytes);
  assert.equal(await firstDifference(a, b, t), undefined);
  for (const at of [0, 4 * 1024 * 1024 - 1, 4 * 1024 * 1024, bytes.length - 1]) {
    const other = Buffer.from(bytes);
    other[at]! ^= 1;
    await writeFile(b, other);
    assert.equal(await firstDifference(a, b, t), at);
  }
  for (const length of [0, 4 * 1024 * 1024, bytes.length - 1]) {
    await writeFile(b, bytes.subarray(0, length));
    assert.equal(await firstDifference(a, b, t), length);
    assert.equal(await firstDifference(b, a, t), length);
  }
});
