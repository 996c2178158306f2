import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { AlignedMemory, isDirectAligned } from './aligned-memory.ts';

describe('aligned memory', () => {
  test('has slots that begin on pages, and no other memory does', () => {
    const memory = AlignedMemory.allocate({ slotBytes: 12_288, slots: 7 });
    for (let index = 0; index < 7; index += 1) {
      assert.equal(memory.slot(index).length, 12_288);
      assert.ok(isDirectAligned(memory.slot(index)));
    }
    assert.equal(isDirectAligned(memory.slot(0).subarray(16)), false);
    assert.equal(isDirectAligned(new Uint8Array(new SharedArrayBuffer(1 << 20))), false);
    assert.equal(isDirectAligned(Buffer.alloc(10)), false);
    assert.throws(() => memory.slot(7));
    assert.throws(() => AlignedMemory.allocate({ slotBytes: 1000, slots: 1 }));
  });

  test('is recognised without its handle', () => {
    const memory = AlignedMemory.allocate({ slotBytes: 4096, slots: 2 });
    assert.ok(
      isDirectAligned(structuredClone(memory.handle).slots === 2 ? structuredClone(memory.slot(1)) : new Uint8Array()),
    );
  });

  test('is shared with worker threads', async () => {
    const memory = AlignedMemory.allocate({ slotBytes: 4096, slots: 2 });
    const code = `
      const { workerData, parentPort } = require('node:worker_threads');
      import(workerData.module).then(({ AlignedMemory }) => {
        new AlignedMemory(workerData.handle).slot(1).fill(7);
        parentPort.postMessage('done');
      });`;
    const module = new URL('./aligned-memory.ts', import.meta.url).href;
    const worker = new Worker(code, { eval: true, workerData: { handle: memory.handle, module } });
    await once(worker, 'message');
    await worker.terminate();
    assert.ok(memory.slot(1).every((byte) => byte === 7));
    assert.ok(memory.slot(0).every((byte) => byte === 0));
  });
});
