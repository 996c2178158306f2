import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';

import { blobId, type BlobId } from '../../blobs/blob-store.ts';
import { activeIndexBlobs, epochOf, epochState, firstCompleteSet } from './epochs.ts';

function ids(...names: readonly string[]): BlobId[] {
  return names.map((name) => blobId(name));
}

function active(...names: readonly string[]): string[] {
  return activeIndexBlobs(epochState(ids(...names)));
}

test('epochs > a new repository has none, and its blobs are in epoch 0', () => {
  assert.deepEqual(active(), []);
  assert.deepEqual(active('xn0_a-s1-c1', 'xn0_b-s2-c1'), ['xn0_a-s1-c1', 'xn0_b-s2-c1']);
  assert.equal(epochState([]).deletionWatermarkSeconds, undefined);
});

test('epochs > the write epoch is the greatest marker, the watermark the latest', () => {
  const state = epochState(ids('xe2', 'xe10', 'xe9', 'xw1700', 'xw900', 'xwjunk', 'xnjunk', 'xe'));
  assert.equal(state.writeEpoch, 10);
  assert.equal(state.deletionWatermarkSeconds, 1700);
});

test('epochs > a compacted epoch counts only when it is two behind', () => {
  const names = [
    'xe3',
    'xn1_a-s1-c1',
    'xs1_A-s9-c1',
    'xn2_b-s1-c1',
    'xs2_B-s9-c1',
    'xn3_c-s1-c1',
    'xn4_d-s1-c1',
    'xn5_e-s1-c1',
  ];
  assert.deepEqual(active(...names), ['xs1_A-s9-c1', 'xn2_b-s1-c1', 'xn3_c-s1-c1', 'xn4_d-s1-c1']);
});

test('epochs > a compaction with a missing shard does not count', () => {
  const names = ['xe5', 'xn0_a-s1-c1', 'xn1_b-s1-c1', 'xs0_A-s8-c2', 'xs1_B-s9-c2', 'xs1_C-s9-c2'];
  assert.deepEqual(active(...names), ['xn0_a-s1-c1', 'xs1_B-s9-c2', 'xs1_C-s9-c2']);
});

test('epochs > flushed blobs count even when a shard of their set is missing', () => {
  assert.deepEqual(active('xn0_a-s1-c2'), ['xn0_a-s1-c2']);
});

test('epochs > ranges are followed from epoch 0 without a gap, as far as they go', () => {
  const names = [
    'xe20',
    'xr0_3_A-s1-c1',
    'xr4_7_B-s2-c1',
    'xr9_12_C-s3-c1',
    'xn7_x-s1-c1',
    'xn8_y-s1-c1',
    'xs9_z-s1-c1',
  ];
  assert.deepEqual(active(...names), ['xr0_3_A-s1-c1', 'xr4_7_B-s2-c1', 'xn8_y-s1-c1', 'xs9_z-s1-c1']);
});

test('epochs > of two ways to the same epoch the one with fewer ranges is taken', () => {
  const names = ['xe20', 'xr0_3_A-s1-c1', 'xr4_7_B-s2-c1', 'xr0_7_C-s3-c1'];
  assert.deepEqual(active(...names), ['xr0_7_C-s3-c1']);
  assert.deepEqual(active(...names, 'xr4_9_D-s4-c1'), ['xr0_3_A-s1-c1', 'xr4_9_D-s4-c1']);
});

test('epochs > a range with a missing shard breaks the chain', () => {
  const names = ['xe20', 'xr0_3_A-s1-c2', 'xr4_7_B-s2-c1', 'xn1_a-s1-c1'];
  assert.deepEqual(active(...names), ['xn1_a-s1-c1']);
});

test('epochs > a range of one epoch is passed over, as Kopia does', () => {
  assert.deepEqual(active('xe9', 'xr0_0_A-s1-c1', 'xn0_a-s1-c1'), ['xn0_a-s1-c1']);
  assert.deepEqual(epochState(ids('xe9', 'xr0_0_A-s1-c1')).ranges, []);
  // The chain [0,0] [1,5] is followed, its first range is not used, and what it covers is not looked for elsewhere.
  assert.deepEqual(active('xe9', 'xr0_0_A-s1-c1', 'xr1_5_B-s2-c1', 'xn0_a-s1-c1'), ['xr1_5_B-s2-c1']);
});

test('epochs > sets of names of another shape are complete by themselves', () => {
  assert.deepEqual(firstCompleteSet(ids('xs1_a', 'xs1_b-s1-c1')), ['xs1_a']);
  assert.deepEqual(firstCompleteSet(ids('xs1_a-t1-c2')), ['xs1_a-t1-c2']);
  assert.deepEqual(firstCompleteSet(ids('xs1_a-s1-d2')), ['xs1_a-s1-d2']);
  assert.deepEqual(firstCompleteSet(ids('xs1_a-s1-c2', 'xs1_b-s2-c1', 'xs1_c-s1-c2')), ['xs1_b-s2-c1']);
  assert.equal(firstCompleteSet(ids('xs1_a-s1-c0', 'xs1_b-s1-c0')), undefined);
});

test('epochs > numbers in names are taken whole or not at all', () => {
  assert.equal(epochOf(blobId('xn12_ab')), 12);
  assert.equal(epochOf(blobId('xe7')), 7);
  assert.equal(epochOf(blobId('xn12a_ab')), undefined);
  assert.equal(epochOf(blobId('xn_12')), undefined);
  assert.equal(epochOf(blobId('xe99999999999999999999')), undefined);
});

test('epochs > absurd names cost no more than others', () => {
  const far = Number.MAX_SAFE_INTEGER;
  assert.deepEqual(active(`xe${far}`, 'xn1_a-s1-c1', `xr0_${far}_A-s1-c1`, 'xr5_4_B-s2-c1'), [`xr0_${far}_A-s1-c1`]);
  const chain = Array.from({ length: 50_000 }, (_, i) => `xr${i}_${i}_A-s1-c1`);
  assert.ok(active('xe60000', ...chain).length > 0);
});

test('epochs > any names have an answer, made of those names', () => {
  const part = fc.constantFrom(
    'x',
    'n',
    's',
    'r',
    'e',
    'w',
    '0',
    '1',
    '2',
    '9',
    '_',
    '-',
    's1',
    'c1',
    'c2',
    '0_3_',
    '4_7_',
  );
  const name = fc.array(part, { maxLength: 9 }).map((parts) => blobId(`x${parts.join('')}`));
  fc.assert(
    fc.property(fc.array(name, { maxLength: 30 }), (names) => {
      for (const blob of activeIndexBlobs(epochState(names))) assert.ok(names.includes(blob));
    }),
    { numRuns: 1000 },
  );
});
