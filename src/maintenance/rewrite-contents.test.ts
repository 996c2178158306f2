import assert from 'node:assert/strict';
import { test } from 'node:test';

import { shortPackBytes, ShortPacks } from './rewrite-contents.ts';

const full = 20 * 1024 * 1024;

function shortOf(packs: Readonly<Record<string, number>>): string[] {
  const short = new ShortPacks(shortPackBytes(full));
  for (const [pack, bytes] of Object.entries(packs)) short.add(pack, bytes);
  short.end();
  return Object.keys(packs).filter((pack) => short.isShort(pack));
}

test('short packs > less than 60 % of a full pack is short, and not a byte more', () => {
  assert.equal(shortPackBytes(full), 12_582_912);
  assert.deepEqual(shortOf({ p1: 12_582_911, p2: 12_582_912 }), [], 'one of them is not');
  assert.equal(shortPackBytes(33), 19, 'rounded down, as kopia does');
  assert.deepEqual(shortOf({ p1: 12_582_911, p2: 12_582_911, p3: 12_582_912 }), ['p1', 'p2']);
});

test('short packs > one short pack of a kind stays as it is, two go together', () => {
  assert.deepEqual(shortOf({ p1: 5, q1: 5, p2: full }), []);
  assert.deepEqual(shortOf({ p1: 5, q1: 5, q2: 6, p2: full }), ['q1', 'q2']);
});

test('short packs > what lies in a pack is added up, whoever needs it', () => {
  const short = new ShortPacks(100);
  for (const [pack, bytes] of [
    ['p1', 60],
    ['p2', 10],
    ['p1', 60],
    ['p3', 20],
  ] as const)
    short.add(pack, bytes);
  short.end();
  assert.deepEqual(
    ['p1', 'p2', 'p3', 'p4'].filter((pack) => short.isShort(pack)),
    ['p2', 'p3', 'p4'],
  );
});
