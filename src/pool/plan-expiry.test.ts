import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planExpiry, type ExpiryOptions } from './plan-expiry.ts';
import { timeName } from './pool-names.ts';
import type { SnapshotRecord } from './pool-records.ts';
import type { PoolSnapshot } from './pool.ts';

const times = ['2031-04-01T22:10:00.5Z', '2031-04-02T06:00:00Z', '2031-04-02T06:30:00Z', '2031-04-02T07:00:00Z'];

/** Under its time unless it has a name. */
function snapshot(created: string, name = timeName(created), madeBy: SnapshotRecord['madeBy'] = 'user'): PoolSnapshot {
  const record: SnapshotRecord = {
    version: 1,
    id: `${name}:${created}`,
    volumeId: 'v',
    created,
    sectorBytes: 4096,
    imageChanged: created,
    consistency: 'unattached',
    madeBy,
    needs: [],
  };
  return { volume: 'data', snapshot: name, image: '', record };
}

function planned(
  snapshots: readonly PoolSnapshot[],
  { lost = [], ...options }: Partial<ExpiryOptions> & { readonly lost?: readonly string[] } = {},
): Readonly<Record<string, string>> {
  const sound = new Set(snapshots.map(({ snapshot: name }) => name).filter((name) => !lost.includes(name)));
  const plan = planExpiry(snapshots, {
    policy: { keepHourly: 2 },
    zone: {},
    nowMs: Date.parse('2031-04-03T00:00:00Z'),
    named: false,
    sound,
    ...options,
  });
  return Object.fromEntries(plan.map(({ snapshot: { snapshot: name }, reasons }) => [name, reasons.join(' ')]));
}

const unnamed = times.map((time) => snapshot(time));

test('expiry of a volume > the newest of each period stay, newest first', () => {
  assert.deepEqual(Object.entries(planned(unnamed)), [
    ['20310402T070000Z', 'hourly-1'],
    ['20310402T063000Z', 'hourly-2'],
    ['20310402T060000Z', ''],
    ['20310401T221000Z', ''],
  ]);
  assert.equal(planned(unnamed, { policy: { keepHourly: 1, keepDaily: 2 } })['20310401T221000Z'], 'daily-2');
  assert.deepEqual(
    Object.values(planned(unnamed, { policy: { keepDaily: 0 } })).filter((why) => why === ''),
    [],
    'a policy that keeps nothing deletes nothing',
  );
});

test('expiry of a volume > what got a name, or a backup made, stays and takes the place of none', () => {
  const all = [
    ...unnamed,
    snapshot('2031-04-02T09:00:00Z', 'before-upgrade'),
    snapshot('2031-04-02T10:00:00Z', '20310402T100000Z', 'backup'),
    snapshot('2031-04-01T10:00:00Z', 'older'),
  ];
  assert.deepEqual(planned(all), {
    '20310402T100000Z': 'by a backup',
    'before-upgrade': 'named',
    '20310402T070000Z': 'hourly-1',
    '20310402T063000Z': 'hourly-2',
    '20310402T060000Z': '',
    '20310401T221000Z': '',
    older: 'named',
  });
  assert.deepEqual(planned(all, { named: true }), {
    '20310402T100000Z': 'by a backup',
    'before-upgrade': 'hourly-1',
    '20310402T070000Z': 'hourly-2',
    '20310402T063000Z': '',
    '20310402T060000Z': '',
    '20310401T221000Z': '',
    older: '',
  });
});

test('expiry of a volume > one whose image is lost is left, and takes the place of none', () => {
  assert.deepEqual(planned(unnamed, { lost: ['20310402T070000Z'], policy: { keepLatest: 1 } }), {
    '20310402T070000Z': 'lost',
    '20310402T063000Z': 'latest-1',
    '20310402T060000Z': '',
    '20310401T221000Z': '',
  });
});

test('expiry of a volume > one that was taken while the clock was wrong stays, and lets none of the others go', () => {
  const ahead = '2039-01-01T00:00:00Z';
  const policy = { keepHourly: 2 };
  assert.deepEqual(planned([...unnamed, snapshot(ahead)], { policy }), {
    [timeName(ahead)]: 'from the future',
    ...planned(unnamed, { policy }),
  });
  const set = planned(unnamed, { policy, nowMs: Date.parse('1970-01-01T00:00:10Z') });
  assert.deepEqual(new Set(Object.values(set)), new Set(['from the future']), 'the clock is wrong now');
});
