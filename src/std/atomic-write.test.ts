import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { atomicWrite, makeDirectories } from './atomic-write.ts';
import { systemRng } from './rng.ts';

const { signal } = new AbortController();
const options = { rng: systemRng, signal };

test('atomicWrite replaces the whole file and leaves nothing else', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'dray-atomic-'));
  try {
    const path = join(folder, 'file');
    await writeFile(path, 'a longer text than the next');
    await atomicWrite(path, Buffer.from('new'), options);
    assert.equal(await readFile(path, 'utf8'), 'new');
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    await mkdir(join(folder, 'taken'));
    await assert.rejects(atomicWrite(join(folder, 'taken'), Buffer.from('x'), options));
    assert.deepEqual((await readdir(folder)).toSorted(), ['file', 'taken']);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('makeDirectories makes what is missing, also when several make it at once', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'dray-atomic-'));
  try {
    const path = join(folder, 'a', 'b', 'c');
    await Promise.all([1, 2, 3].map(() => makeDirectories(path, { mode: 0o700 })));
    assert.ok((await stat(path)).isDirectory());
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('makeDirectories gives up where nothing can be made', { timeout: 10_000 }, async () => {
  await assert.rejects(makeDirectories('/proc/none/such', { mode: 0o700 }), { code: 'ENOENT' });
});
