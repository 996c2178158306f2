import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import fc from 'fast-check';

import { parseGoTime } from './go-time.ts';
import { applyRetention } from './retention.ts';
import type { RetentionPolicy, Retainable } from './retention.ts';

/** When the snapshots began. */
const times = [
  '2021-01-03T10:00:00Z',
  '2021-04-13T12:38:54Z',
  '2021-07-03T11:05:15Z',
  '2021-11-14T20:17:32Z',
  '2022-10-31T06:13:47Z',
  '2022-12-08T01:55:18Z',
  '2023-01-01T00:30:00Z',
  '2023-03-01T11:59:59Z',
  '2023-03-01T12:00:00Z',
  '2023-04-01T18:16:48Z',
  '2023-04-11T02:54:01Z',
  '2023-04-18T09:15:59Z',
  '2023-04-27T12:52:07Z',
  '2023-06-16T21:00:32Z',
  '2023-06-17T20:25:26Z',
  '2023-08-09T01:42:13Z',
  '2023-11-02T12:15:19Z',
  '2023-11-02T14:27:46Z',
  '2023-12-06T02:54:56Z',
  '2023-12-13T05:52:42Z',
  '2023-12-16T21:05:27Z',
  '2023-12-31T23:00:00Z',
  '2024-01-07T05:31:04Z',
  '2024-01-19T09:57:58Z',
  '2024-01-26T03:27:58Z',
  '2024-01-29T00:00:00Z',
  '2024-01-30T12:11:26Z',
  '2024-01-31T23:59:59Z',
  '2024-02-01T00:00:00Z',
  '2024-02-03T13:17:50Z',
  '2024-02-05T21:32:20Z',
  '2024-02-14T17:56:42Z',
  '2024-02-16T12:46:26Z',
  '2024-02-16T13:39:19Z',
  '2024-02-17T07:14:11Z',
  '2024-02-19T02:44:51Z',
  '2024-02-21T06:11:33Z',
  '2024-02-21T11:24:53Z',
  '2024-02-22T05:54:43Z',
  '2024-02-24T10:45:16Z',
  '2024-02-24T10:54:59Z',
  '2024-02-24T12:21:40Z',
  '2024-02-26T16:37:39Z',
  '2024-02-27T17:49:43Z',
  '2024-02-27T18:03:10Z',
  '2024-02-28T00:35:45Z',
  '2024-02-29T05:47:36Z',
  '2024-02-29T07:02:53Z',
  '2024-02-29T07:44:54Z',
  '2024-02-29T08:59:33Z',
  '2024-02-29T09:03:41Z',
  '2024-02-29T10:51:42Z',
  '2024-02-29T12:00:00Z',
  '2024-02-29T12:15:37Z',
  '2024-02-29T13:19:16Z',
  '2024-02-29T16:42:07Z',
  '2024-02-29T19:02:50Z',
  '2024-02-29T22:56:47Z',
  '2024-03-01T02:41:59Z',
  '2024-03-01T04:21:38Z',
  '2024-03-01T10:56:39Z',
  '2024-03-01T12:00:00Z',
];

const asKopia: readonly (readonly [counts: readonly number[], reasons: Readonly<Record<string, readonly string[]>>])[] =
  [
    [
      [3, 5, 4, 3, 2, 1],
      {
        '2024-02-17T07:14:11Z': ['weekly-3'],
        '2024-02-24T12:21:40Z': ['weekly-2'],
        '2024-02-27T18:03:10Z': ['daily-4'],
        '2024-02-28T00:35:45Z': ['daily-3'],
        '2024-02-29T22:56:47Z': ['daily-2', 'monthly-2'],
        '2024-03-01T04:21:38Z': ['latest-3'],
        '2024-03-01T10:56:39Z': ['latest-2', 'hourly-2'],
        '2024-03-01T12:00:00Z': ['latest-1', 'hourly-1', 'daily-1', 'weekly-1', 'monthly-1', 'annual-1'],
      },
    ],
    [
      [1, 0, 0, 12, 12, 0],
      {
        '2023-03-01T12:00:00Z': ['monthly-9'],
        '2023-04-27T12:52:07Z': ['monthly-8'],
        '2023-06-17T20:25:26Z': ['monthly-7'],
        '2023-08-09T01:42:13Z': ['monthly-6'],
        '2023-11-02T14:27:46Z': ['monthly-5'],
        '2023-12-16T21:05:27Z': ['weekly-8'],
        '2023-12-31T23:00:00Z': ['weekly-7', 'monthly-4'],
        '2024-01-26T03:27:58Z': ['weekly-6'],
        '2024-01-31T23:59:59Z': ['monthly-3'],
        '2024-02-03T13:17:50Z': ['weekly-5'],
        '2024-02-05T21:32:20Z': ['weekly-4'],
        '2024-02-17T07:14:11Z': ['weekly-3'],
        '2024-02-24T12:21:40Z': ['weekly-2'],
        '2024-02-29T22:56:47Z': ['monthly-2'],
        '2024-03-01T12:00:00Z': ['latest-1', 'weekly-1', 'monthly-1'],
      },
    ],
    [
      [0, 0, 0, 60, 3, 5],
      {
        '2021-11-14T20:17:32Z': ['annual-4'],
        '2022-12-08T01:55:18Z': ['annual-3'],
        '2023-03-01T12:00:00Z': ['weekly-17'],
        '2023-04-01T18:16:48Z': ['weekly-16'],
        '2023-04-11T02:54:01Z': ['weekly-15'],
        '2023-04-18T09:15:59Z': ['weekly-14'],
        '2023-04-27T12:52:07Z': ['weekly-13'],
        '2023-06-17T20:25:26Z': ['weekly-12'],
        '2023-08-09T01:42:13Z': ['weekly-11'],
        '2023-11-02T14:27:46Z': ['weekly-10'],
        '2023-12-06T02:54:56Z': ['weekly-9'],
        '2023-12-16T21:05:27Z': ['weekly-8'],
        '2023-12-31T23:00:00Z': ['weekly-7', 'annual-2'],
        '2024-01-26T03:27:58Z': ['weekly-6'],
        '2024-01-31T23:59:59Z': ['monthly-3'],
        '2024-02-03T13:17:50Z': ['weekly-5'],
        '2024-02-05T21:32:20Z': ['weekly-4'],
        '2024-02-17T07:14:11Z': ['weekly-3'],
        '2024-02-24T12:21:40Z': ['weekly-2'],
        '2024-02-29T22:56:47Z': ['monthly-2'],
        '2024-03-01T12:00:00Z': ['weekly-1', 'monthly-1', 'annual-1'],
      },
    ],
    [
      [0, 24, 0, 0, 0, 0],
      {
        '2024-02-29T12:15:37Z': ['hourly-9'],
        '2024-02-29T13:19:16Z': ['hourly-8'],
        '2024-02-29T16:42:07Z': ['hourly-7'],
        '2024-02-29T19:02:50Z': ['hourly-6'],
        '2024-02-29T22:56:47Z': ['hourly-5'],
        '2024-03-01T02:41:59Z': ['hourly-4'],
        '2024-03-01T04:21:38Z': ['hourly-3'],
        '2024-03-01T10:56:39Z': ['hourly-2'],
        '2024-03-01T12:00:00Z': ['hourly-1'],
      },
    ],
    [
      [0, 0, 0, 5, 0, 0],
      {
        '2024-02-03T13:17:50Z': ['weekly-5'],
        '2024-02-05T21:32:20Z': ['weekly-4'],
        '2024-02-17T07:14:11Z': ['weekly-3'],
        '2024-02-24T12:21:40Z': ['weekly-2'],
        '2024-03-01T12:00:00Z': ['weekly-1'],
      },
    ],
    [[0, 0, 1, 1, 1, 1], { '2024-03-01T12:00:00Z': ['daily-1', 'weekly-1', 'monthly-1', 'annual-1'] }],
  ];

function policyOf([
  keepLatest,
  keepHourly,
  keepDaily,
  keepWeekly,
  keepMonthly,
  keepAnnual,
]: readonly number[]): RetentionPolicy {
  return { keepLatest, keepHourly, keepDaily, keepWeekly, keepMonthly, keepAnnual };
}

function snapshot(text: string, more: Partial<Retainable> = {}): Retainable {
  const startTime = parseGoTime(text)!;
  return { id: text, startTime, endTime: startTime, pins: [], ...more };
}

const hour = 3_600_000_000_000n;

describe('retention', () => {
  test('keeps the very snapshots for the very reasons that kopia 0.23.1 gave', () => {
    for (const [counts, reasons] of asKopia) {
      const { keep, expire } = applyRetention(
        times.map((text) => snapshot(text)),
        policyOf(counts),
      );
      assert.deepEqual(Object.fromEntries(keep.map((kept) => [kept.item.id, kept.reasons])), reasons);
      assert.equal(keep.length + expire.length, times.length);
    }
  });

  test('keeps everything when every class keeps none', () => {
    for (const policy of [{}, policyOf([0, 0, 0, 0, 0, 0])]) {
      assert.equal(
        applyRetention(
          times.map((text) => snapshot(text)),
          policy,
        ).expire.length,
        0,
      );
    }
  });

  test('wraps hours around as Go does, so that 2147483647 of them are not all', () => {
    const { expire } = applyRetention(
      times.map((text) => snapshot(text)),
      policyOf([0, 2_147_483_647, 0, 0, 0, 0]),
    );
    assert.equal(expire.length, 3);
  });

  test('lets a month take the key of an ISO week', () => {
    // 2024-01-31 lies in week 5; the month of 2024-05 takes the key `2024-05` first.
    const items = [snapshot('2024-05-20T00:00:00Z'), snapshot('2024-01-31T00:00:00Z')];
    const { keep } = applyRetention(items, { keepMonthly: 1, keepWeekly: 52 });
    assert.deepEqual(
      keep.map((item) => item.reasons),
      [['weekly-1', 'monthly-1']],
    );
  });

  test('never expires what is pinned, and says so by giving no reason', () => {
    const items = [snapshot('2024-01-02T00:00:00Z'), snapshot('2020-01-01T00:00:00Z', { pins: ['p'] })];
    const { keep, expire } = applyRetention(items, { keepLatest: 1 });
    assert.deepEqual(expire, []);
    assert.deepEqual(keep[1]!.reasons, []);
  });

  test('keeps incomplete snapshots only while they are newer than the newest complete one, and young or few', () => {
    const incomplete = { incomplete: 'checkpoint' };
    const newest = parseGoTime('2024-01-02T12:00:00Z')!;
    const at = (hoursAgo: number, more = {}): Retainable => ({
      ...snapshot('2024-01-02T12:00:00Z', more),
      id: String(hoursAgo),
      startTime: newest - BigInt(hoursAgo) * hour,
    });
    const items = [0, 1, 2, 3, 5, 6].map((hours) => at(hours, incomplete));
    const result = applyRetention([...items, at(9), at(10, incomplete)], { keepLatest: 1 });
    assert.deepEqual(
      result.keep.map((kept) => [kept.item.id, kept.reasons[0]]),
      [
        ['0', 'incomplete'],
        ['1', 'incomplete'],
        ['2', 'incomplete'],
        ['3', 'incomplete'],
        ['9', 'latest-1'],
      ],
    );
    assert.deepEqual(
      result.expire.map((item) => item.id),
      ['5', '6', '10'],
    );
    const few = applyRetention([at(0, incomplete), at(9, incomplete), at(10, incomplete), at(11, incomplete)], {});
    assert.deepEqual(
      few.expire.map((item) => item.id),
      ['11'],
    );
  });

  test('decides over each snapshot once, whatever the order, and keeps the newest whenever it keeps any class', () => {
    const count = fc.option(fc.nat(6), { nil: undefined });
    const policy = fc.record({
      keepLatest: fc.integer({ min: 1, max: 4 }),
      keepHourly: count,
      keepDaily: count,
      keepWeekly: count,
      keepMonthly: count,
      keepAnnual: count,
    });
    const ages = fc.uniqueArray(fc.nat(5 * 365 * 24), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(policy, ages, fc.nat(), (counts, hours, seed) => {
        const items = hours.map((age, index) => ({
          ...snapshot('2024-03-01T00:30:00Z', { pins: index % 11 === 10 ? ['p'] : [] }),
          id: String(age),
          startTime: parseGoTime('2024-03-01T00:30:00Z')! - BigInt(age) * hour,
        }));
        const shuffled = items.toSorted(
          (a, b) => ((Number(a.id) * 7919 + seed) % 101) - ((Number(b.id) * 7919 + seed) % 101),
        );
        const result = applyRetention(shuffled, counts);
        const ids = [...result.keep.map((kept) => kept.item), ...result.expire].map((item) => item.id);
        assert.deepEqual(ids.toSorted(), items.map((item) => item.id).toSorted());
        assert.deepEqual(applyRetention(items, counts), result);
        assert.equal(result.keep[0]!.item.id, String(Math.min(...hours)));
        const reasons = result.keep.flatMap((item) => item.reasons);
        assert.equal(new Set(reasons).size, reasons.length);
        for (const [name, max] of Object.entries(counts)) {
          const kind = name.slice(4).toLowerCase();
          assert.ok(reasons.filter((reason) => reason.startsWith(kind)).length <= (max ?? 0));
        }
      }),
    );
  });
});
