import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';

import { contentIdOf } from '../repository/content/content-id.ts';
import type { LeafRun } from '../repository/object/leaf-run.ts';
import { leafTasks, zeroTest, type LeafTask } from './leaf-tasks.ts';

const kib = 1024;
const hash = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();
const run = (bytes: Uint8Array, offset: number, repeat: number): LeafRun => ({
  offset,
  lengthBytes: bytes.length,
  contentId: contentIdOf('', hash(bytes)),
  repeat,
});

async function tasksOf(runs: readonly LeafRun[], sizeBytes: number): Promise<readonly LeafTask[]> {
  async function* batches(): AsyncGenerator<readonly LeafRun[]> {
    yield runs;
  }
  return await Array.fromAsync(leafTasks(batches(), { isZero: zeroTest(hash), sizeBytes }));
}

describe('leaf tasks', () => {
  test('make a hole of zero chunks of any length, and fetch the others', async () => {
    const data = Buffer.alloc(128 * kib, 1);
    const sizeBytes = 128 * kib + 1000 * 128 * kib + 3 * kib;
    const runs = [
      run(data, 0, 1),
      run(new Uint8Array(128 * kib), 128 * kib, 1000),
      run(new Uint8Array(4 * kib), 1001 * 128 * kib, 1),
    ];
    const tasks = await tasksOf(runs, sizeBytes);
    assert.deepEqual(
      tasks.map(({ kind, offset, lengthBytes }) => ({ kind, offset, lengthBytes })),
      [
        { kind: 'leaves', offset: 0, lengthBytes: 128 * kib },
        { kind: 'zero', offset: 128 * kib, lengthBytes: 1000 * 128 * kib },
        // As far as the volume goes.
        { kind: 'zero', offset: 1001 * 128 * kib, lengthBytes: 3 * kib },
      ],
    );
  });

  test('hash few lengths of chunks that do not repeat, every one that does, and none that no splitter makes', () => {
    const hashed: number[] = [];
    const isZero = zeroTest((bytes) => {
      hashed.push(bytes.length);
      return hash(bytes);
    });
    const contentId = contentIdOf('', hash(Buffer.from('data')));
    for (let lengthBytes = 1; lengthBytes <= 1000; lengthBytes++)
      isZero({ offset: 0, lengthBytes, contentId, repeat: 1 });
    assert.equal(hashed.length, 16);
    assert.equal(isZero(run(new Uint8Array(5000), 0, 2)), true);
    assert.equal(isZero(run(new Uint8Array(5000), 0, 1)), true, 'it is remembered');
    assert.equal(hashed.length, 17);
    assert.equal(isZero({ offset: 0, lengthBytes: 2 ** 50, contentId, repeat: 9 }), false);
    assert.equal(hashed.length, 17);
  });
});
