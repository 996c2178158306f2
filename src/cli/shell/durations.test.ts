import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CliError } from './cli-error.ts';
import { parsePeriod, parseShortTime } from './durations.ts';

const dayMs = 24 * 60 * 60 * 1000;

test('a period > is a number of hours, days, weeks or years', () => {
  for (const [text, days] of [
    ['36h', 1.5],
    ['30d', 30],
    [' 6 W ', 42],
    ['7y', 7 * 365],
    ['100y', 36_500],
  ] as const) {
    assert.equal(parsePeriod(text), days * dayMs, text);
  }
});

test('a period > that is nothing else is refused', () => {
  for (const text of ['', '0d', '30', 'd', '-1d', '1.5d', '101y', '30 days', '1m', '9999999h']) {
    assert.throws(
      () => parsePeriod(text),
      (error) => error instanceof CliError && error.code === 'usage',
      text,
    );
  }
});

test('durations > what writers wait is written in milliseconds, seconds and minutes', () => {
  const expected: Readonly<Record<string, number>> = {
    '500ms': 500,
    '5s': 5000,
    ' 2 min ': 120_000,
    '60min': 3_600_000,
  };
  for (const [text, ms] of Object.entries(expected)) assert.equal(parseShortTime(text), ms, text);
  for (const text of ['', '5', '0s', '-1s', '61min', '1h', '1.5s', '5 sec']) {
    assert.throws(() => parseShortTime(text), { code: 'usage' }, text);
  }
});
