import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { hasCode } from '../../std/dray-error.ts';
import { formatDuration, parsePercent, parseRate, parseSize } from './sizes.ts';

test('sizes > K and Ki are powers of 1024, KB powers of 1000, in any case', () => {
  const expected: readonly (readonly [string, number])[] = [
    ['0', 0],
    ['512', 512],
    ['512B', 512],
    ['1K', 1024],
    ['64Ki', 65_536],
    ['64KiB', 65_536],
    ['5MB', 5_000_000],
    ['5mb', 5_000_000],
    ['10G', 10 * 1024 ** 3],
    ['16TiB', 16 * 1024 ** 4],
    ['2TB', 2e12],
    ['1.5G', 1.5 * 1024 ** 3],
    [' 7 M ', 7 * 1024 ** 2],
  ];
  for (const [text, bytes] of expected) assert.equal(parseSize(text), bytes, text);
});

test('sizes > what is no size, no whole number or too large is wrong usage', () => {
  for (const text of [
    '',
    '-1',
    'G',
    '10X',
    '1e3',
    '0x10',
    '1.1',
    '1.0001K',
    '8P',
    '99999999999999999',
    '1 000',
    'NaN',
    '10iB',
  ]) {
    assert.throws(
      () => parseSize(text),
      (error) => hasCode(error, 'usage'),
      text,
    );
  }
});

test('sizes > any whole number of bytes is read back', () => {
  fc.assert(fc.property(fc.maxSafeNat(), (bytes) => parseSize(String(bytes)) === bytes));
});

test('sizes > a rate may end in /s and is above zero; a percentage is above 0 and at most 100', () => {
  assert.equal(parseRate('100M/s'), 100 * 1024 ** 2);
  assert.throws(
    () => parseRate('0'),
    (error) => hasCode(error, 'usage'),
  );
  assert.deepEqual(['5%', '100', '0.1 %'].map(parsePercent), [0.05, 1, 0.001]);
  for (const text of ['0', '101%', '-5%', 'all', '']) {
    assert.throws(
      () => parsePercent(text),
      (error) => hasCode(error, 'usage'),
      text,
    );
  }
});

test('sizes > durations use two units at most', () => {
  const texts = [400, 9949, 9960, 59_600, 184_000, 3_599_600, 7_500_000].map(formatDuration);
  assert.deepEqual(texts, ['0.4 s', '9.9 s', '10 s', '1 min 00 s', '3 min 04 s', '1 h 00 min', '2 h 05 min']);
});
