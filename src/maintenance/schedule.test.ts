import assert from 'node:assert/strict';
import { test } from 'node:test';

import { nanosecondsFromMs, parseGoTime } from '../std/go-time.ts';
import { jsonObject, parseJson, isJsonObject } from '../std/lossless-json.ts';
import { goZeroTime, runsMax, Schedule } from './schedule.ts';

const start = nanosecondsFromMs(Date.UTC(2026, 0, 2, 3, 4, 5));
const end = start + 1_500_000_000n;

function member(schedule: Schedule, ...path: readonly (string | number)[]): unknown {
  let value: unknown = parseJson(schedule.encode());
  for (const step of path) value = (value as Record<string | number, unknown>)[step];
  return value;
}

test('schedule > without a blob everything is due and nothing was ever run', () => {
  const schedule = Schedule.empty();
  assert.equal(schedule.nextFull, goZeroTime);
  assert.equal(schedule.nextQuick, goZeroTime);
  assert.deepEqual(schedule.runs('snapshot-gc'), []);
});

test('schedule > a run is written as kopia writes it, the newest first', () => {
  const extra = { kind: 'advanceEpochStats', data: jsonObject({ currentEpoch: 3, wasAdvanced: true }) };
  const schedule = Schedule.empty()
    .withRun('advance-epoch', { start, end, error: undefined, extra })
    .withRun('advance-epoch', { start: end, end, error: 'no', extra: undefined });
  assert.equal(
    schedule.encode(),
    '{"nextFullMaintenance":"0001-01-01T00:00:00Z","nextQuickMaintenance":"0001-01-01T00:00:00Z","runs":{"advance-epoch":[' +
      '{"start":"2026-01-02T03:04:06.5Z","end":"2026-01-02T03:04:06.5Z","error":"no"},' +
      '{"start":"2026-01-02T03:04:05Z","end":"2026-01-02T03:04:06.5Z","success":true,' +
      '"extra":[{"kind":"advanceEpochStats","data":{"currentEpoch":3,"wasAdvanced":true}}]}]}}',
  );
  assert.deepEqual(schedule.runs('advance-epoch'), [
    { start: end, end, success: false },
    { start, end, success: true },
  ]);
});

test('schedule > what others know and this program does not is kept word for word', () => {
  const known =
    '{"start":"2026-01-02T05:04:05+02:00","end":"2026-01-02T05:04:06+02:00","success":true,"later":1.10,"extra":[{"kind":"x","data":{"n":9223372036854775807}}]}';
  const text = `{"Runs":{"a-task-of-tomorrow":[${known}],"snapshot-gc":[${known}]},"more":{"big":18446744073709551615}}`;
  const schedule = Schedule.parse(text)
    .withNext({ full: start, quick: end })
    .withRun('snapshot-gc', { start, end, error: undefined, extra: undefined });
  assert.ok(schedule.encode().includes(`"a-task-of-tomorrow":[${known}]`));
  assert.ok(schedule.encode().includes(`,${known}]`), 'the older run of a known task');
  assert.ok(schedule.encode().includes('"more":{"big":18446744073709551615}'));
  assert.deepEqual(Object.keys(parseJson(schedule.encode()) as object), [
    'nextFullMaintenance',
    'nextQuickMaintenance',
    'runs',
    'more',
  ]);
  assert.equal(schedule.runs('snapshot-gc')[1]?.start, parseGoTime('2026-01-02T03:04:05Z'));
});

test('schedule > fifty runs of a task are kept, the newest', () => {
  let schedule = Schedule.empty();
  for (let n = 0; n < runsMax + 7; n++) {
    schedule = schedule.withRun('cleanup-logs', {
      start: BigInt(n),
      end: BigInt(n),
      error: undefined,
      extra: undefined,
    });
  }
  assert.equal(schedule.runs('cleanup-logs').length, 50);
  assert.equal(schedule.runs('cleanup-logs')[0]?.start, 56n);
  assert.equal(schedule.runs('cleanup-logs').at(-1)?.start, 7n);
});

test('schedule > next times change alone', () => {
  const schedule = Schedule.parse('{"nextFullMaintenance":"2026-01-01T00:00:00Z","runs":null}').withNext({
    quick: end,
  });
  assert.equal(schedule.nextFull, parseGoTime('2026-01-01T00:00:00Z'));
  assert.equal(schedule.nextQuick, end);
  assert.ok(isJsonObject(member(schedule, 'runs')));
});

test('schedule > a history that is not understood is not relied on', () => {
  for (const text of [
    'x',
    '[]',
    '{"runs":[]}',
    '{"runs":{"snapshot-gc":{}}}',
    '{"runs":{"snapshot-gc":[{"start":"yesterday"}]}}',
    '{"runs":{"other":[{"success":"yes"}]}}',
    '{"nextFullMaintenance":5}',
  ]) {
    assert.throws(() => Schedule.parse(text), { code: 'corrupt' }, text);
  }
});
