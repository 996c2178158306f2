import assert from 'node:assert/strict';
import { test } from 'node:test';

import { FlushAhead } from './flush-ahead.ts';

const mebibyte = 1024 * 1024;

function flushes(): { readonly ended: PromiseWithResolvers<void>[]; readonly flush: () => Promise<void> } {
  const ended: PromiseWithResolvers<void>[] = [];
  const flush = async (): Promise<void> => {
    const one = Promise.withResolvers<void>();
    ended.push(one);
    await one.promise;
  };
  return { ended, flush };
}

test('a flush begins with enough bytes or enough files, one at a time, and counts anew from there', async () => {
  const { ended, flush } = flushes();
  const ahead = new FlushAhead({ flush, onFailure: (error) => assert.ifError(error) });
  ahead.wrote({ files: 256, bytes: 63 * mebibyte });
  assert.equal(ended.length, 0);
  ahead.wrote({ files: 1, bytes: mebibyte });
  assert.equal(ended.length, 1);
  ahead.wrote({ files: 8192, bytes: 100 * mebibyte });
  assert.equal(ended.length, 1, 'two at a time');
  ended[0]!.resolve();
  await ahead.settled();
  // What came together meanwhile goes with the next word.
  ahead.wrote({ files: 0, bytes: 0 });
  assert.equal(ended.length, 2);
  ended[1]!.resolve();
  await ahead.settled();
  ahead.wrote({ files: 8191, bytes: 0 });
  assert.equal(ended.length, 2);
  ahead.wrote({ files: 1, bytes: 0 });
  assert.equal(ended.length, 3);
  ended[2]!.resolve();
});

test('whoever waits for a flush waits for its end, and its failure is told once', async () => {
  const { ended, flush } = flushes();
  const failures: unknown[] = [];
  const ahead = new FlushAhead({ flush, onFailure: (error) => void failures.push(error) });
  await ahead.settled();
  ahead.wrote({ files: 1, bytes: 64 * mebibyte });
  let settled = false;
  const waiting = ahead.settled().then(() => (settled = true));
  await new Promise(setImmediate);
  assert.equal(settled, false);
  const failure = new Error('the disk is gone');
  ended[0]!.reject(failure);
  await waiting;
  assert.deepEqual(failures, [failure]);
});
