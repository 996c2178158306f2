import assert from 'node:assert/strict';
import { test } from 'node:test';

import { untrustedRungs } from './untrusted-rungs.ts';
import { fixtureSource as source, setOf, type FixtureSnapshot } from './volume-set-fixtures.ts';

const says = (...untrusted: readonly string[]): FixtureSnapshot => ({ tags: { untrusted } });

test('untrusted rungs > are those that the newest complete snapshot of the source names', () => {
  assert.deepEqual(untrustedRungs(setOf(), source), []);
  assert.deepEqual(untrustedRungs(setOf({}, says('mtime', 'list')), source), ['list', 'mtime']);
  assert.deepEqual(untrustedRungs(setOf(says('list'), {}), source), [], 'trust was given back');
  assert.deepEqual(untrustedRungs(setOf({}, { ...says('list'), source: { path: '/other' } }), source), []);
});

test('untrusted rungs > a run that was interrupted after it had caught one has left its word', () => {
  const interrupted = setOf(says('mtime'), {}, { ...says('list'), unfinished: true });
  assert.deepEqual(untrustedRungs(interrupted, source), ['list']);
  const both = setOf(says('mtime'), { ...says('list'), unfinished: true });
  assert.deepEqual(untrustedRungs(both, source), ['list', 'mtime']);
});
