import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { blobId, type BlobMetadata } from '../blobs/blob-store.ts';
import { epochState } from '../repository/index/epochs.ts';
import { defaultEpochs } from '../repository/format/content-format.ts';
import {
  blobsOfSpan,
  markersToRemove,
  rangeToMerge,
  settledEpoch,
  shouldAdvance,
  supersededBlobs,
} from './epoch-plans.ts';
import type { EpochView } from './epoch-view.ts';

const hour = 3_600_000;
const now = Date.UTC(2026, 5, 1);

/** Blobs by name, with how many hours ago each was put. */
function view(hoursAgo: Readonly<Record<string, number>>): EpochView {
  const all = Object.entries(hoursAgo).map(([name, hours]): BlobMetadata => {
    return { id: blobId(name), lengthBytes: 100, timestampMs: now - hours * hour };
  });
  const blobs = new Map(all.map((blob) => [blob.id, blob]));
  return { ...epochState([...blobs.keys()]), blobs, validity: { untilMonotonicMs: Infinity, untilMs: Infinity } };
}

function names(blobs: readonly BlobMetadata[]): string[] {
  return blobs.map(({ id }) => id as string).toSorted();
}

const xn = (epoch: number, n = 0): string => `xn${epoch}_${n}a-s1-c1`;
const xs = (epoch: number): string => `xs${epoch}_aa-s2-c1`;
const xr = (first: number, last: number): string => `xr${first}_${last}_aa-s3-c1`;

test('epoch plans > an epoch is settled when two newer ones have begun, and merged once', () => {
  const cases: readonly [names: readonly string[], expected: number | undefined][] = [
    [[], undefined],
    [['xe1', xn(0)], undefined],
    [['xe2', xn(0)], 0],
    [['xe2', xs(0)], undefined],
    [['xe5', xs(0), xs(1)], 2],
    [['xe5', xs(0), xs(2)], 1],
    [['xe5', xs(0), xs(1), xs(2), xs(3)], undefined],
    [['xe9', xr(0, 4), xs(5)], 6],
    [['xe9', xr(0, 4), xs(2)], 5],
    [['xe9', `xs0_aa-s2-c2`], 0],
  ];
  for (const [blobs, expected] of cases) {
    assert.equal(settledEpoch(epochState(blobs.map((name) => blobId(name)))), expected, blobs.join(' '));
  }
});

test('epoch plans > an epoch ends after a day, with twenty blobs or ten MiB', () => {
  const blobs = (count: number, { hours, bytes }: { hours: number; bytes: number }): BlobMetadata[] =>
    Array.from({ length: count }, (_, n) => {
      const timestampMs = now - (n === 0 ? hours * hour : 0);
      return { id: blobId(`xn0_${n}`), lengthBytes: bytes / count, timestampMs };
    });
  const mib = 1024 * 1024;
  assert.equal(shouldAdvance([], defaultEpochs), false);
  assert.equal(shouldAdvance(blobs(20, { hours: 24, bytes: 20 }), defaultEpochs), true);
  assert.equal(shouldAdvance(blobs(19, { hours: 24, bytes: 19 }), defaultEpochs), false);
  assert.equal(shouldAdvance(blobs(20, { hours: 23.999, bytes: 20 }), defaultEpochs), false);
  assert.equal(shouldAdvance(blobs(2, { hours: 24, bytes: 10 * mib }), defaultEpochs), true);
  assert.equal(shouldAdvance(blobs(2, { hours: 24, bytes: 10 * mib - 2 }), defaultEpochs), false);
  assert.equal(shouldAdvance(blobs(1, { hours: 24, bytes: 10 * mib }), defaultEpochs), false, 'one blob lasts no time');
});

test('epoch plans > a range is merged when eight settled epochs lie behind the last one', () => {
  assert.equal(rangeToMerge({ writeEpoch: 8, ranges: [] }, defaultEpochs), undefined);
  assert.deepEqual(rangeToMerge({ writeEpoch: 9, ranges: [] }, defaultEpochs), { first: 0, last: 7 });
  const ranges = [{ first: 0, last: 7, blobs: [] }];
  assert.equal(rangeToMerge({ writeEpoch: 16, ranges }, defaultEpochs), undefined);
  assert.deepEqual(rangeToMerge({ writeEpoch: 17, ranges }, defaultEpochs), { first: 8, last: 15 });
  assert.equal(rangeToMerge({ writeEpoch: 1, ranges: [] }, { fullCheckpointFrequency: 0 }), undefined);
});

test('epoch plans > a range is made of merged epochs where there are, and of nothing outside of it', () => {
  const blobs = view({
    xe12: 0,
    [xr(0, 3)]: 0,
    [xs(2)]: 0,
    [xs(4)]: 0,
    [xn(4)]: 0,
    [xn(5)]: 0,
    [xn(5, 1)]: 0,
    [xn(11)]: 0,
  });
  assert.deepEqual(names(blobsOfSpan(blobs, { first: 4, last: 10 })), [xn(5), xn(5, 1), xs(4)]);
});

test('epoch plans > flushed blobs go when their merged set is more than four hours older than the newest blob', () => {
  const young = view({ xe3: 100, [xn(0)]: 200, [xs(0)]: 4, [xn(3)]: 0 });
  assert.deepEqual(names(supersededBlobs(young, defaultEpochs).blobs), []);
  const old = view({ xe3: 100, [xn(0)]: 200, [xn(0, 1)]: 190, [xn(1)]: 180, [xs(0)]: 4.001, [xn(3)]: 0 });
  assert.deepEqual(names(supersededBlobs(old, defaultEpochs).blobs), [xn(0), xn(0, 1)]);
  const silent = view({ xe3: 100, [xn(0)]: 200, [xs(0)]: 50 });
  assert.deepEqual(supersededBlobs(silent, defaultEpochs), { blobs: [], replacedBeforeMs: undefined });
  const incomplete = view({ xe3: 100, [xn(0)]: 200, 'xs0_aa-s2-c2': 50, [xn(3)]: 0 });
  assert.deepEqual(names(supersededBlobs(incomplete, defaultEpochs).blobs), []);
});

test('epoch plans > the newest member of a set says when the set was there', () => {
  const set = view({ xe3: 100, [xn(0)]: 200, 'xs0_aa-s2-c2': 50, 'xs0_bb-s2-c2': 3, [xn(3)]: 0 });
  assert.deepEqual(names(supersededBlobs(set, defaultEpochs).blobs), []);
});

test('epoch plans > markers before the last epoch go, and watermarks that a later one replaced four hours ago', () => {
  const blobs = view({ xe0: 90, xe1: 80, xe2: 70, xe3: 60, xw10: 50, xw20: 4.001, xw25: 4, xw30: 30, [xn(3)]: 0 });
  const { epochMarkers, watermarks } = markersToRemove(blobs, defaultEpochs);
  assert.deepEqual(names(epochMarkers), ['xe0', 'xe1']);
  assert.deepEqual(names(watermarks), ['xw10', 'xw20']);
});

test('epoch plans > nothing is removed that no complete older set holds, whatever there is', () => {
  const epoch = fc.integer({ min: 0, max: 6 });
  const hours = fc.double({ min: 0, max: 20, noNaN: true });
  const blob = fc.oneof(
    fc.tuple(epoch, fc.integer({ min: 0, max: 3 }), hours).map(([e, n, h]) => [xn(e, n), h] as const),
    fc.tuple(epoch, hours).map(([e, h]) => [xs(e), h] as const),
    fc.tuple(epoch, hours).map(([e, h]) => [`xe${e}`, h] as const),
  );
  fc.assert(
    fc.property(fc.array(blob, { maxLength: 30 }), (blobs) => {
      const state = view(Object.fromEntries(blobs));
      const { blobs: gone } = supersededBlobs(state, defaultEpochs);
      return gone.every(({ id }) => state.blobs.has(blobId(`xs${id.slice(2, id.indexOf('_'))}_aa-s2-c1`)));
    }),
  );
});
