import assert from 'node:assert/strict';
import { test } from 'node:test';

import { chooseParent } from './backup-parent.ts';
import type { Lineage } from './backup-request.ts';
import { fixtureSource, setOf, type FixtureSnapshot } from './volume-set-fixtures.ts';

const { userName, path } = fixtureSource;

function lineageWith(...bases: readonly string[]): Lineage {
  return {
    source: { userName, path },
    canServe: ({ poolSnapshot }) => poolSnapshot !== undefined && bases.includes(poolSnapshot),
  };
}

/** The pool snapshot that the chosen parent was made of. */
function chosen(lineage: Lineage, ...made: readonly FixtureSnapshot[]): string | undefined {
  return chooseParent(setOf(...made), lineage, 'auto')?.tags['dray:pool-snapshot'];
}

const of = (poolSnapshot: string, more: Omit<FixtureSnapshot, 'tags'> = {}): FixtureSnapshot => ({
  ...more,
  tags: { poolSnapshot },
});

test('parent > is the newest whose base is there, on whatever host it was made', () => {
  assert.equal(chosen(lineageWith('a', 'b'), of('a'), of('b', { source: { host: 'other' } })), 'b');
  assert.equal(chosen(lineageWith('a'), of('a'), of('b', { source: { host: 'other' } })), 'a');
  assert.equal(chosen(lineageWith('a'), of('a'), of('b')), 'a', 'an older one of the same host');
});

test('parent > is the newest of all where no base is there', () => {
  assert.equal(chosen(lineageWith(), of('a'), of('b')), 'b');
  assert.equal(chosen(lineageWith('a')), undefined);
});

test('parent > is none that is unfinished or of another volume', () => {
  assert.equal(chosen(lineageWith('a', 'b'), of('a'), of('b', { unfinished: true })), 'a');
  assert.equal(chosen(lineageWith('a', 'b'), of('a'), of('b', { source: { path: '/other' } })), 'a');
  assert.equal(chosen(lineageWith('a', 'b'), of('a'), of('b', { source: { userName: 'other pool' } })), 'a');
});
