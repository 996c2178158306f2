import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CliError } from './cli-error.ts';
import { parsePeriod } from './durations.ts';

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
