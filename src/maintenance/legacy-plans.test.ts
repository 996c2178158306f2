import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { blobId, type BlobId, type BlobMetadata } from '../blobs/blob-store.ts';
import { soundLogs, type LegacyView, type StoredLog } from '../repository/index/legacy-view.ts';
import { nanosecondsFromMs } from '../std/go-time.ts';
import {
  blobsToMerge,
  cleanupsToFinish,
  entriesPerBlob,
  largeBytes,
  replacedBlobs,
  type StoredCleanup,
} from './legacy-plans.ts';

const minute = 60_000;
const hour = 60 * minute;
const now = Date.UTC(2026, 5, 1);
const large = 2000;

function sized(...lengths: readonly number[]): BlobMetadata[] {
  return lengths.map((lengthBytes, n) => ({ id: blobId(`n${n}`), lengthBytes, timestampMs: now }));
}

function many(count: number, lengthBytes: number): number[] {
  return Array.from({ length: count }, () => lengthBytes);
}

/** A log by name: how long ago it was put, what it replaces and by what. */
type Log = readonly [minutesAgo: number, inputs: string, outputs: string];

/** `there` are the index blobs, a letter each. */
function view(there: string, logs: Readonly<Record<string, Log>>): LegacyView {
  const ids = (letters: string): BlobId[] => letters.split('').map((letter) => blobId(letter));
  const blobs = new Map(ids(there).map((id) => [id, { id, lengthBytes: 10, timestampMs: now - 9 * hour }]));
  const stored = Object.entries(logs).map(([name, [minutesAgo, inputs, outputs]]): StoredLog => {
    return { id: blobId(name), timestampMs: now - minutesAgo * minute, inputs: ids(inputs), outputs: ids(outputs) };
  });
  const replaced = [...soundLogs(stored, blobs.keys())].flatMap(({ inputs }) => inputs);
  const active = [...blobs.keys()].filter((id) => !replaced.includes(id));
  return { blobs, logs: new Map(stored.map((log) => [log.id, log])), active };
}

/** What goes, in its order, and the logs of it. */
function replaced(there: string, logs: Readonly<Record<string, Log>>): [blobs: string, logs: string] {
  const found = replacedBlobs(view(there, logs), { nowMs: now });
  return [found.flatMap(({ blobs }) => blobs.map(({ id }) => id)).join(''), found.map(({ log }) => log.id).join(' ')];
}

test('legacy plans > eight blobs that are not large are merged, of the very small ones alone when there are few others', () => {
  const cases: readonly [lengths: readonly number[], merged: number][] = [
    [[], 0],
    [many(7, 10), 0],
    [many(8, 10), 8],
    // One that is as long as a pack may be is not large.
    [[...many(7, 10), large], 7],
    [[...many(7, 10), large + 1], 0],
    [[...many(8, 10), large + 1], 8],
    // A twentieth is not very small any more.
    [[...many(7, 99), 100], 7],
    [[...many(4, 99), ...many(4, 100)], 8],
    [[...many(5, 99), ...many(4, 100)], 5],
    [[...many(8, 99), ...many(6, 100)], 8],
    [[...many(8, 99), ...many(7, 100)], 15],
  ];
  for (const [lengths, merged] of cases) {
    assert.equal(blobsToMerge(sized(...lengths), large).length, merged, String(lengths));
  }
});

test('legacy plans > a merged blob that is cut is large, whatever the keys', () => {
  const mib = 1024 * 1024;
  assert.equal(largeBytes({ maxPackSizeBytes: 20 * mib }), 20 * mib);
  assert.equal(largeBytes({ maxPackSizeBytes: 120 * mib }), 32 * mib);
  for (const keySizeBytes of [17, 33]) {
    const entries = entriesPerBlob(20 * mib, { keySizeBytes });
    assert.ok(entries * (keySizeBytes + 16) >= 20 * mib && (entries - 1) * (keySizeBytes + 16) < 20 * mib);
  }
});

test('legacy plans > what a log replaces goes when the log is an hour old, and not before', () => {
  assert.deepEqual(replaced('abc', { m1: [60, 'ab', 'c'] }), ['ab', 'm1']);
  assert.deepEqual(replaced('abc', { m1: [60 - 1 / minute, 'ab', 'c'] }), ['', '']);
  assert.deepEqual(replaced('c', { m1: [60, 'ab', 'c'] }), ['', 'm1'], 'the log of what is gone is of no use');
  assert.deepEqual(replaced('ab', { m1: [60, 'ab', ''] }), ['ab', 'm1'], 'everything was dropped');
});

test('legacy plans > a blob goes behind all that it was made of', () => {
  const chain = { m3: [61, 'ef', 'g'], m2: [62, 'cd', 'e'], m1: [63, 'ab', 'c'] } as const;
  assert.deepEqual(replaced('abcdefg', chain), ['abcdef', 'm1 m2 m3']);
  // Kopia has removed some of it, in its own order, and died.
  assert.deepEqual(replaced('abdfg', chain), ['abdf', 'm1 m2 m3']);
  // A log that has nothing left keeps what its blob was made of replaced, as long as that is there.
  assert.deepEqual(replaced('abe', { m2: [62, 'c', 'e'], m1: [5, 'ab', 'c'] }), ['', '']);
  // What it was made of is not an hour old, by a clock that jumped.
  assert.deepEqual(replaced('abcdefg', { ...chain, m1: [5, 'ab', 'c'] }), ['', '']);
});

test('legacy plans > what no blob that counts says stays', () => {
  assert.deepEqual(replaced('ab', { m1: [90, 'ab', 'c'] }), ['', ''], 'what it became is gone');
  assert.deepEqual(replaced('abc', { m1: [90, 'ab', 'cx'] }), ['', ''], 'half of it is gone');
  assert.deepEqual(replaced('ab', { m1: [90, 'a', 'b'], m2: [90, 'b', 'a'] }), ['', ''], 'each instead of the other');
  assert.deepEqual(replaced('a', { m1: [90, 'a', 'a'] }), ['', '']);
  assert.deepEqual(replaced('abd', { m1: [90, 'ab', 'c'], m2: [5, 'c', 'd'] }), ['ab', 'm1'], 'it is said elsewhere');
});

test('legacy plans > whatever there is, as much of the index counts after each removal as before', () => {
  const letters = 'abcdefgh';
  const some = fc.subarray(letters.split('')).map((chosen) => chosen.join(''));
  const log = fc.tuple(fc.integer({ min: 0, max: 120 }), some, some);
  fc.assert(
    fc.property(some, fc.array(log, { maxLength: 5 }), (there, logs) => {
      const named = Object.fromEntries(logs.map((one, n) => [`m${n}`, one]));
      const before = view(there, named);
      const sound = new Set(before.active);
      let left = there;
      for (const { blobs } of replacedBlobs(before, { nowMs: now })) {
        for (const { id } of blobs) left = left.replace(id, '');
        const after = view(left, named).active;
        // Nothing that was replaced counts again, unless it did before: then it is said elsewhere too.
        assert.deepEqual(
          after.filter((id) => !sound.has(id)),
          [],
        );
      }
    }),
    { numRuns: 2000 },
  );
});

test('legacy plans > whoever removes what was replaced, in whatever order, nothing of it counts again', () => {
  const merges = fc.array(fc.subarray([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(merges, fc.array(fc.boolean(), { minLength: 15, maxLength: 15 }), (choices, isRemoved) => {
      const letters = 'abcdefghijklmno'.split('');
      let active = letters.slice(0, 10);
      const logs: Record<string, Log> = {};
      for (const [n, chosen] of choices.entries()) {
        const inputs = active.filter((_, at) => chosen.includes(at));
        const output = letters[10 + n]!;
        logs[`m${n}`] = [200 - n, inputs.join(''), output];
        active = [...active.filter((letter) => !inputs.includes(letter)), output];
      }
      const counted = active.toSorted();
      // Somebody has removed some of it, and died.
      const kept = letters.slice(0, 10 + choices.length);
      let left = kept.filter((letter, n) => active.includes(letter) || !isRemoved[n]).join('');
      const check = (): void => assert.deepEqual(view(left, logs).active.toSorted(), counted);
      const clean = (): void => {
        const blob = { id: blobId('l1'), lengthBytes: 1, timestampMs: 0 };
        const cleanup = { blob, logs: Object.keys(logs).map((id) => blobId(id)), scheduled: 0n };
        for (const id of cleanupsToFinish(view(left, logs), [cleanup], { nowMs: now }).logs) {
          delete logs[id];
          check();
        }
      };
      check();
      clean();
      const done = replacedBlobs(view(left, logs), { nowMs: now });
      for (const { id } of done.flatMap(({ blobs }) => blobs)) {
        left = left.replace(id, '');
        check();
      }
      clean();
    }),
    { numRuns: 2000 },
  );
});

test('legacy plans > a year of logs that nobody may remove is no problem', () => {
  const count = 20_000;
  const id = (n: number): BlobId => blobId(`n${n}`);
  const logs = Array.from({ length: count }, (_, n): StoredLog => ({
    id: blobId(`m${n}`),
    timestampMs: now - 2 * hour - (count - n) * minute,
    inputs: [id(n)],
    outputs: [id(n + 1)],
  })).toReversed();
  const blobs = new Map(
    Array.from({ length: count + 1 }, (_, n) => [id(n), { id: id(n), lengthBytes: 1, timestampMs: now }]),
  );
  const chain = { blobs, logs: new Map(logs.map((log) => [log.id, log])), active: [id(count)] };
  const found = replacedBlobs(chain, { nowMs: now });
  assert.deepEqual([found.length, found[0]!.blobs[0]!.id, found.at(-1)!.blobs[0]!.id], [count, id(0), id(count - 1)]);
});

test('legacy plans > a log goes an hour after it was scheduled, unless what it replaces is still there', () => {
  const cleanup = (name: string, minutesAgo: number, ...logs: readonly string[]): StoredCleanup => ({
    blob: { id: blobId(name), lengthBytes: 1, timestampMs: 0 },
    logs: logs.map((log) => blobId(log)),
    scheduled: nanosecondsFromMs(now - minutesAgo * minute),
  });
  const there = view('bc', { m1: [200, 'a', 'c'], m2: [200, 'b', 'c'], m3: [200, 'a', 'c'] });
  const plan = (...cleanups: readonly StoredCleanup[]): [logs: string, cleanups: string] => {
    const found = cleanupsToFinish(there, cleanups, { nowMs: now });
    return [found.logs.join(' '), found.cleanups.map(({ id }) => id).join(' ')];
  };
  assert.deepEqual(plan(cleanup('l1', 60, 'm1', 'm3', 'm9')), ['m1 m3', 'l1']);
  assert.deepEqual(plan(cleanup('l1', 60 - 1 / minute, 'm1')), ['', '']);
  assert.deepEqual(plan(cleanup('l1', 60, 'm1', 'm2'), cleanup('l2', 70, 'm1')), ['m1', 'l2']);
});
