import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { nanosecondsFromMs, type Nanoseconds } from '../std/go-time.ts';
import {
  clocksAgree,
  dueMode,
  isCollectable,
  isRemovable,
  isRewritable,
  mayRewrite,
  mayRewriteQuick,
  removalFrom,
  removesAllKinds,
  safeDropTime,
} from './safety.ts';
import { goZeroTime, type TaskName, type TaskRun } from './schedule.ts';

const hour = 3_600_000;
const minute = 60_000;
const at = (ms: number): Nanoseconds => nanosecondsFromMs(ms);
const now = Date.UTC(2026, 5, 1);

function run(startMs: number, endMs: number, success = true): TaskRun {
  return { start: at(startMs), end: at(endMs), success };
}

function history(runs: Partial<Record<TaskName, readonly TaskRun[]>>): {
  runs: (task: TaskName) => readonly TaskRun[];
} {
  return { runs: (task) => runs[task] ?? [] };
}

test('safety > a content is marked when it is 24 hours old, and not a moment before', () => {
  assert.equal(isCollectable(now - 24 * hour, { startMs: now }), true);
  assert.equal(isCollectable(now - 24 * hour + 1, { startMs: now }), false);
  assert.equal(isCollectable(now + hour, { startMs: now }), false, 'from a clock that is ahead');
});

test('safety > a content is written again when it is 2 hours old, and not a moment before', () => {
  assert.equal(isRewritable(now - 2 * hour, { nowMs: now }), true);
  assert.equal(isRewritable(now - 2 * hour + 1, { nowMs: now }), false);
});

test('safety > a blob goes when it is 24 hours old, less the second that the beginning is moved', () => {
  const sessionCheckpointMs = undefined;
  assert.equal(isRemovable(now - 24 * hour + 1000, { startMs: now, sessionCheckpointMs }), true);
  assert.equal(isRemovable(now - 24 * hour + 1001, { startMs: now, sessionCheckpointMs }), false);
  assert.equal(isRemovable(now + 2000, { startMs: now, sessionCheckpointMs }), false, 'put after the beginning');
});

test('safety > a blob of a session goes when the session was not heard of for 96 hours', () => {
  const timeMs = now - 1000 * hour;
  assert.equal(isRemovable(timeMs, { startMs: now, sessionCheckpointMs: now - 96 * hour + 1000 }), true);
  assert.equal(isRemovable(timeMs, { startMs: now, sessionCheckpointMs: now - 96 * hour + 1001 }), false);
  assert.equal(
    isRemovable(now - 10 * hour, { startMs: now, sessionCheckpointMs: now - 200 * hour }),
    false,
    'a dead session does not make a young blob old',
  );
});

test('safety > nothing is dropped before two collections that are more than four hours apart', () => {
  const latest = run(now, now + minute);
  const cases: readonly [why: string, runs: readonly TaskRun[], expected: number | undefined][] = [
    ['no run', [], undefined],
    ['one run', [latest], undefined],
    ['exactly four hours', [latest, run(now - 5 * hour, now - 4 * hour)], undefined],
    ['a moment more', [latest, run(now - 5 * hour, now - 4 * hour - 1)], now - 6 * hour],
    ['the earlier one failed', [latest, run(now - 5 * hour, now - 4 * hour - 1, false)], undefined],
    ['the later one failed', [run(now, now + minute, false), run(now - 5 * hour, now - 4 * hour - 1)], undefined],
    [
      'the newest that is far enough',
      [latest, run(now - hour, now - hour), run(now - 9 * hour, now - 8 * hour), run(now - 30 * hour, now - 29 * hour)],
      now - 10 * hour,
    ],
    ['in any order', [run(now - 9 * hour, now - 8 * hour), latest], now - 10 * hour],
    ['a run that took long', [latest, run(now - 9 * hour, now - 3 * hour)], undefined],
  ];
  for (const [why, runs, expected] of cases) {
    assert.equal(safeDropTime(runs), expected === undefined ? undefined : at(expected), why);
  }
});

test('safety > whatever the history, dropping keeps an hour before a collection that another followed by more than four', () => {
  const time = fc.integer({ min: 0, max: 100 * hour });
  const anyRun = fc
    .record({ start: time, lastsMs: fc.integer({ min: 0, max: 10 * hour }), success: fc.boolean() })
    .map(({ start, lastsMs, success }) => run(start, start + lastsMs, success));
  fc.assert(
    fc.property(fc.array(anyRun, { maxLength: 12 }), (runs) => {
      const upTo = safeDropTime(runs);
      const good = runs.filter(({ success }) => success);
      const witness = good.some(({ start, end }) => {
        return start - at(hour) === upTo && good.some((later) => later.start - end > at(4 * hour));
      });
      return upTo === undefined || witness;
    }),
  );
});

test('safety > packs are removed an hour after the last successful writing again, full or quick', () => {
  assert.equal(removalFrom(history({})), goZeroTime);
  assert.equal(removalFrom(history({ 'full-rewrite-contents': [run(0, now)] })), at(now + hour));
  const both = { 'full-rewrite-contents': [run(0, now)], 'quick-rewrite-contents': [run(0, now + minute)] };
  assert.equal(removalFrom(history(both)), at(now + minute + hour));
  assert.equal(removalFrom(history({ 'full-rewrite-contents': [run(0, now, false)] })), goZeroTime);
});

test('safety > contents are not written again before packs were removed since the last time', () => {
  const rewrites = [run(0, now)];
  assert.equal(mayRewrite(history({})), true);
  assert.equal(mayRewrite(history({ 'full-rewrite-contents': rewrites })), false);
  for (const task of ['full-delete-blobs', 'quick-delete-blobs'] as const) {
    assert.equal(mayRewrite(history({ 'full-rewrite-contents': rewrites, [task]: [run(0, now)] })), true);
    assert.equal(mayRewrite(history({ 'full-rewrite-contents': rewrites, [task]: [run(0, now - 1)] })), false);
    assert.equal(mayRewrite(history({ 'full-rewrite-contents': rewrites, [task]: [run(0, now, false)] })), false);
  }
});

test('safety > a quick run looks at both kinds of writing again, and removes all packs that a full one has emptied', () => {
  const full = { 'full-rewrite-contents': [run(0, now)] };
  const quick = { 'quick-rewrite-contents': [run(0, now)] };
  assert.equal(mayRewriteQuick(history({})), true);
  for (const rewrites of [full, quick]) {
    assert.equal(mayRewriteQuick(history(rewrites)), false);
    assert.equal(mayRewriteQuick(history({ ...rewrites, 'quick-delete-blobs': [run(0, now)] })), true);
    assert.equal(mayRewriteQuick(history({ ...rewrites, 'full-delete-blobs': [run(0, now - 1)] })), false);
  }
  assert.equal(removesAllKinds(history({})), true);
  assert.equal(removesAllKinds(history({ ...full, ...quick })), true);
  assert.equal(removesAllKinds(history({ ...full, 'quick-rewrite-contents': [run(0, now + 1)] })), false);
});

test('safety > a full run is due before a quick one, at its very time, unless it is switched off', () => {
  const on = { enabled: true, interval: 1n };
  const off = { enabled: false, interval: 1n };
  const due = { nextFull: at(now), nextQuick: at(now) };
  assert.equal(dueMode(due, { full: on, quick: on }, at(now)), 'full');
  assert.equal(dueMode(due, { full: off, quick: on }, at(now)), 'quick');
  assert.equal(dueMode(due, { full: off, quick: off }, at(now)), 'none');
  assert.equal(dueMode(due, { full: on, quick: on }, at(now) - 1n), 'none');
  assert.equal(dueMode({ ...due, nextFull: at(now + 1) }, { full: on, quick: on }, at(now)), 'quick');
});

test('safety > clocks may be five minutes apart, either way', () => {
  assert.equal(clocksAgree(now, now + 5 * minute), true);
  assert.equal(clocksAgree(now + 5 * minute, now), true);
  assert.equal(clocksAgree(now, now + 5 * minute + 1), false);
  assert.equal(clocksAgree(now + 5 * minute + 1, now), false);
});
