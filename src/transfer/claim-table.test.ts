import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';

import { allocateClaims, ClaimTable } from './claim-table.ts';

const hashOf = (n: number): Uint8Array => createHash('sha256').update(String(n)).digest();

test('claim table > gives each hash to exactly one of several threads', async () => {
  const memory = allocateClaims({ slots: 4096, hashLengthBytes: 32 });
  const threads = 3;
  const code = `
    const { parentPort, workerData } = require('node:worker_threads');
    const { createHash } = require('node:crypto');
    import(workerData.module).then(({ ClaimTable }) => {
      const table = new ClaimTable(workerData.memory);
      const won = [];
      for (let n = 0; n < 2000; n++) {
        if (table.claim(createHash('sha256').update(String(n)).digest())) won.push(n);
      }
      parentPort.postMessage(won);
    });`;
  const module = new URL('./claim-table.ts', import.meta.url).href;
  const results = await Promise.all(
    Array.from({ length: threads }, async () => {
      const worker = new Worker(code, { eval: true, workerData: { memory, module } });
      const won = await new Promise<number[]>((resolve, reject) => {
        worker.once('message', resolve);
        worker.once('error', reject);
      });
      await worker.terminate();
      return won;
    }),
  );
  const all = results.flat().sort((a, b) => a - b);
  assert.deepEqual(
    all,
    Array.from({ length: 2000 }, (_, n) => n),
  );
});

test('claim table > remembers both generations until one is cleared', () => {
  const memory = allocateClaims({ slots: 64, hashLengthBytes: 32 });
  const table = new ClaimTable(memory);
  assert.equal(table.claim(hashOf(1)), true);
  table.switchTo(1);
  assert.equal(table.claim(hashOf(1)), false);
  assert.equal(table.claim(hashOf(2)), true);
  table.clear(0);
  assert.equal(table.has(hashOf(1)), false);
  assert.equal(table.has(hashOf(2)), true);
});

test('claim table > stores without remembering when it is full, and never answers a false yes', () => {
  const table = new ClaimTable(allocateClaims({ slots: 16, hashLengthBytes: 32 }));
  for (let n = 0; n < 100; n++) assert.equal(table.claim(hashOf(n)), true, `hash ${n}`);
  assert.equal(table.has(hashOf(1000)), false);
});
