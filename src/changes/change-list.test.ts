import assert from 'node:assert/strict';
import { test } from 'node:test';

import { hasCode } from '../std/dray-error.ts';
import { extent } from '../volume/extent.ts';
import { fitToSize, parseChangeList } from './change-list.ts';

const mib = 1024 * 1024;

test('change list > is sorted and merged, whatever order it comes in', () => {
  const text = '{"parent":"ab","extents":[{"offset":8,"length":4},{"offset":0,"length":8},{"offset":100,"length":0}]}';
  assert.deepEqual(parseChangeList(text), { parent: 'ab', extents: [extent(0, 12)] });
});

test('change list > takes what snapshot diff prints, with its other fields', () => {
  const text = '{"parent":"ab","snapshot":"cd","sizeBytes":10,"extents":[{"offset":0,"length":1}]}';
  assert.equal(parseChangeList(text).extents.length, 1);
});

test('change list > refuses what it cannot trust, and says what is wrong', () => {
  const cases: [string, RegExp][] = [
    ['{', /not JSON/],
    ['[]', /expected object/i],
    ['{"extents":[]}', /parent/],
    ['{"parent":"../x","extents":[]}', /snapshot id/],
    ['{"parent":"ab","extents":[{"offset":-1,"length":1}]}', /extents\.0\.offset/],
    ['{"parent":"ab","extents":[{"offset":0.5,"length":1}]}', /extents\.0\.offset/],
    ['{"parent":"ab","extents":[{"offset":9007199254740991,"length":1}]}', /2\^53/],
  ];
  for (const [text, message] of cases) {
    assert.throws(
      () => parseChangeList(text),
      (error: Error) => hasCode(error, 'changes-invalid') && message.test(error.message),
      text,
    );
  }
});

test('change list > after a resize the short tail and what is new have changed too', () => {
  const list = { parent: 'ab', extents: [extent(0, 10)] };
  const grown = fitToSize(list, { sizeBytes: 5 * mib, parentSizeBytes: 2 * mib + 7, chunkBytes: mib });
  assert.deepEqual(grown, [extent(0, 10), extent(2 * mib, 3 * mib)]);
  const shrunk = fitToSize(list, { sizeBytes: 3 * mib + 9, parentSizeBytes: 5 * mib, chunkBytes: mib });
  assert.deepEqual(shrunk, [extent(0, 10), extent(3 * mib, 9)]);
  const cut = fitToSize(list, { sizeBytes: 3 * mib, parentSizeBytes: 5 * mib, chunkBytes: mib });
  assert.deepEqual(cut, [extent(0, 10)]);
});

test('change list > that ends past the volume belongs to something else', () => {
  const list = { parent: 'ab', extents: [extent(5 * mib, 1)] };
  assert.throws(
    () => fitToSize(list, { sizeBytes: 5 * mib, parentSizeBytes: 5 * mib, chunkBytes: mib }),
    (error) => hasCode(error, 'changes-invalid'),
  );
});
