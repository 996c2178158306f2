import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { SnapshotId } from '../repository/manifest/snapshot.ts';
import { hasCode } from '../std/dray-error.ts';
import { extent } from '../volume/extent.ts';
import { ChangesError } from './changes.ts';
import { climbDown, type ChangeOffer, type LadderContext, type Offered } from './ladder.ts';
import { rankOf, rungNamed, rungs, type OfferedRung } from './rungs.ts';

const mib = 1024 * 1024;
const { signal } = new AbortController();
const parent = { id: 'ab' as SnapshotId, sizeBytes: 4 * mib, startTime: 0n, tags: { pool: 'p' } };
const context: LadderContext = { sizeBytes: 4 * mib, parent, obstacle: undefined, untrusted: [], signal };

/** An offer that notes when it is asked. */
function offer(rung: OfferedRung, answer: Offered | Error, asked: string[] = []): ChangeOffer {
  return {
    rung,
    since: async () => {
      asked.push(rung);
      if (answer instanceof Error) throw answer;
      return await Promise.resolve(answer);
    },
  };
}

const serves: Offered = { extents: [extent(4096, 4096)], reason: 'known' };

test('ladder > stands in the order of the rungs, the scan at its foot', () => {
  assert.deepEqual(
    rungs.map(({ name }) => name),
    ['extents', 'nbd', 'list', 'mtime', 'tree', 'scan'],
  );
  for (const { name } of rungs) assert.equal(rungs[rankOf(name)], rungNamed(name));
  assert.deepEqual(
    rungs.filter(({ audited }) => !audited).map(({ name }) => name),
    ['tree', 'scan'],
    'what takes the word of another is audited',
  );
});

test('ladder > takes the best offer that can serve, in whatever order they come, and asks no lesser one', async () => {
  const asked: string[] = [];
  const offers = [
    offer('mtime', serves, asked),
    offer('list', serves, asked),
    offer('nbd', { refused: 'no such bitmap' }, asked),
    offer('extents', { refused: 'the base is gone' }, asked),
  ];
  assert.deepEqual(await climbDown(offers, context), {
    changes: { rung: 'list', reason: 'known', parent: 'ab', extents: [extent(4096, 4096)] },
    passedOver: [
      { rung: 'extents', reason: 'the base is gone' },
      { rung: 'nbd', reason: 'no such bitmap' },
    ],
  });
  assert.deepEqual(asked, ['extents', 'nbd', 'list']);
});

test('ladder > ends at the scan, which says why no offer served', async () => {
  const two = [offer('list', { refused: 'old' }), offer('extents', { refused: 'gone' })];
  assert.deepEqual((await climbDown(two, context)).changes, { rung: 'scan', reason: 'extents: gone; list: old' });
  const one = await climbDown(two.slice(0, 1), context);
  assert.deepEqual(one, {
    changes: { rung: 'scan', reason: 'old' },
    passedOver: [{ rung: 'list', reason: 'old' }],
  });
  assert.deepEqual(await climbDown([], context), {
    changes: { rung: 'scan', reason: 'nothing better was on offer' },
    passedOver: [],
  });
});

test('ladder > an offer that fails is passed over; a list that is wrong, a defect and an abort are not', async () => {
  const failing = offer('extents', new ChangesError('changes-incomparable', 'the base was deleted'));
  const { changes, passedOver } = await climbDown([failing, offer('list', serves)], context);
  assert.equal(changes.rung, 'list');
  assert.deepEqual(passedOver, [{ rung: 'extents', reason: 'the base was deleted' }]);

  const wrong = offer('list', new ChangesError('changes-invalid', 'the change list does not fit'));
  await assert.rejects(climbDown([wrong], context), (error) => hasCode(error, 'changes-invalid'));
  await assert.rejects(climbDown([offer('nbd', new TypeError('defect'))], context), TypeError);
  const abort = new AbortController();
  abort.abort(new Error('enough'));
  await assert.rejects(climbDown([failing], { ...context, signal: abort.signal }), /enough/);
});

test('ladder > asks nobody for a first backup, nor with a parent that does not serve', async () => {
  const asked: string[] = [];
  const offers = [offer('mtime', serves, asked), offer('extents', serves, asked)];
  assert.deepEqual(await climbDown(offers, { ...context, parent: undefined }), {
    changes: { rung: 'scan', reason: 'first backup of this source' },
    passedOver: [],
  });
  const obstacle = 'the parent is suspect';
  assert.deepEqual(await climbDown(offers, { ...context, obstacle }), {
    changes: { rung: 'scan', reason: obstacle },
    passedOver: [
      { rung: 'extents', reason: obstacle },
      { rung: 'mtime', reason: obstacle },
    ],
  });
  assert.deepEqual(asked, []);
});

test('ladder > does not ask a rung that an audit has caught', async () => {
  const asked: string[] = [];
  const offers = [offer('extents', serves, asked), offer('list', serves, asked)];
  const { changes, passedOver } = await climbDown(offers, { ...context, untrusted: ['extents', 'of the future'] });
  assert.equal(changes.rung, 'list');
  assert.match(passedOver[0]!.reason, /caught .* --trust-changes/);
  assert.deepEqual(asked, ['list']);
});

test('ladder > what an offer names is put in order, and after a resize the old short tail and all that is new', async () => {
  const named = { extents: [extent(8192, 4096), extent(0, 4096), extent(4096, 1)], reason: 'known' };
  const same = await climbDown([offer('nbd', named)], context);
  assert.ok(same.changes.rung === 'nbd');
  assert.deepEqual(same.changes.extents, [extent(0, 4097), extent(8192, 4096)]);
  const grown = { ...context, parent: { ...parent, sizeBytes: 2 * mib + 5 } };
  const { changes } = await climbDown([offer('extents', serves)], grown);
  assert.ok(changes.rung === 'extents');
  assert.deepEqual(changes.extents, [extent(4096, 4096), extent(2 * mib, 2 * mib)]);
});

test('ladder > an offer that names bytes past the end is of something else', async () => {
  const past = offer('nbd', { extents: [extent(4 * mib, 1)], reason: 'known' });
  const { changes, passedOver } = await climbDown([past], context);
  assert.equal(changes.rung, 'scan');
  assert.deepEqual(passedOver, [{ rung: 'nbd', reason: 'it names bytes up to 4194305 of a volume of 4194304' }]);
});
