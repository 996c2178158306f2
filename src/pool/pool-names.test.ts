import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTimeName, timeName } from './pool-names.ts';

test('names of snapshots > those made of the time are told from those that were given', () => {
  assert(isTimeName(timeName('2031-04-02T06:47:00.500Z')));
  for (const name of ['20310402T064700Z-2', '20310402T064700Z-100']) assert(isTimeName(name), name);
  for (const name of ['monday', '20310402', '20310402T064700Z-', 'x20310402T064700Z', '20310402T064700Z-upgrade']) {
    assert(!isTimeName(name), name);
  }
});
