import assert from 'node:assert/strict';
import { test } from 'node:test';

import { blobId } from '../../blobs/blob-store.ts';
import { replacedKeptMax, replacedKeptMs, ReplacedBlobs } from './replaced-blobs.ts';

const [first, second, older] = [blobId('xn3_a'), blobId('xn3_b'), blobId('xn2_c')];

test('replaced blobs > each is due once, two minutes after it was replaced', () => {
  const replaced = new ReplacedBlobs();
  replaced.add([first], 1000);
  replaced.add([second], 2000);
  assert.deepEqual(replaced.takeDue(3, 1000 + replacedKeptMs - 1), []);
  assert.deepEqual(replaced.takeDue(3, 1000 + replacedKeptMs), [first]);
  assert.ok(!replaced.has(first) && replaced.has(second));
  assert.deepEqual(replaced.takeDue(3, 2000 + replacedKeptMs), [second]);
});

test('replaced blobs > those of an epoch that is not written any more are left to maintenance', () => {
  const replaced = new ReplacedBlobs();
  replaced.add([older, first], 0);
  assert.deepEqual(replaced.takeDue(3, replacedKeptMs), [first]);
  assert.ok(!replaced.has(older));
});

test('replaced blobs > one that has been written again stays', () => {
  const replaced = new ReplacedBlobs();
  replaced.add([first, second], 0);
  replaced.keep(first);
  assert.ok(!replaced.has(first));
  assert.deepEqual(replaced.takeDue(3, replacedKeptMs), [second]);
});

test('replaced blobs > the oldest of too many are due at once', () => {
  const replaced = new ReplacedBlobs();
  const blobs = Array.from({ length: replacedKeptMax + 3 }, (_, n) => blobId(`xn3_${n}`));
  replaced.add(blobs, 0);
  assert.deepEqual(replaced.takeDue(3, 0), blobs.slice(0, 3));
  assert.deepEqual(replaced.takeDue(3, 0), []);
});
