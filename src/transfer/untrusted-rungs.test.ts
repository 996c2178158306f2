import assert from 'node:assert/strict';
import { test } from 'node:test';

import { listSnapshots, type SnapshotId } from '../repository/manifest/snapshot.ts';
import { suspectsWith, untrustedRungs } from './untrusted-rungs.ts';
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

const idOf = (name: string): SnapshotId => name.padEnd(32, '0') as SnapshotId;

/** Made by a rung from the changes since `parent`, or read whole. */
const made = (name: string, parent?: string): FixtureSnapshot => ({
  id: idOf(name),
  tags: parent === undefined ? { rung: 'scan' } : { rung: 'extents', parent: idOf(parent) },
});

/** Names of what is suspect with `parent`, newest first. */
function suspects(parent: string, ...all: readonly FixtureSnapshot[]): string[] {
  const set = setOf(...all);
  const { snapshots } = listSnapshots(set, source);
  const base = snapshots.find(({ id }) => id === idOf(parent));
  return suspectsWith(set, source, base).map(({ id }) => id.replace(/0+$/, ''));
}

test('suspects > are what rungs have made since all was read', () => {
  assert.deepEqual(suspects('d', made('a'), made('b', 'a'), made('c'), made('d', 'c')), ['d']);
  assert.deepEqual(suspects('c', made('a'), made('b', 'a'), made('c', 'b')), ['c', 'b']);
  assert.deepEqual(suspects('b', made('a'), made('b')), []);
  assert.deepEqual(suspects('a', made('a'), { ...made('b', 'a'), unfinished: true }), []);
});

test('suspects > are what the parent builds on as well, where others were read since', () => {
  assert.deepEqual(suspects('c', made('a'), made('b', 'a'), made('c', 'b'), made('d')), ['c', 'b']);
  // Two copies of a pool in turns.
  const turns = [made('a'), made('b', 'a'), made('c'), made('d', 'b'), made('e', 'c')];
  assert.deepEqual(suspects('d', ...turns), ['e', 'd', 'b']);
  assert.deepEqual(suspects('e', ...turns), ['e', 'd']);
});

test('suspects > go back to what was read before, where a snapshot between is gone', () => {
  assert.deepEqual(suspects('d', made('a'), made('b', 'a'), made('d', 'gone')), ['d', 'b']);
});
