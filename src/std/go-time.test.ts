import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import fc from 'fast-check';

import {
  civil,
  daysFromCivil,
  formatGoTime,
  isUtcTime,
  localOffsetSeconds,
  msFromNanoseconds,
  nanosecondsFromMs,
  parseGoTime,
} from './go-time.ts';

describe('Go time', () => {
  test('keeps every nanosecond', () => {
    for (const text of [
      '2026-01-02T03:04:05.123456789Z',
      '2026-01-02T03:04:05.12Z',
      '1970-01-01T00:00:00Z',
      // Go's zero time as nanoseconds of 64 bits, as Kopia writes it for block volumes.
      '1754-08-30T22:43:41.128654848Z',
      '0001-01-01T00:00:00Z',
      '2024-02-29T23:59:59.999999999Z',
    ]) {
      assert.equal(formatGoTime(parseGoTime(text)!), text);
    }
    assert.equal(parseGoTime('1754-08-30T22:43:41.128654848Z'), -6795364578871345152n);
    assert.equal(formatGoTime(parseGoTime('2026-01-02T00:04:05.5+05:30')!), '2026-01-01T18:34:05.5Z');
    assert.equal(formatGoTime(parseGoTime('2026-01-02T00:04:05-01:00')!), '2026-01-02T01:04:05Z');
  });

  test('agrees with Date on every millisecond', () => {
    fc.assert(
      fc.property(
        fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true }),
        (date) => {
          const time = nanosecondsFromMs(date.getTime());
          assert.equal(parseGoTime(date.toISOString()), time);
          assert.equal(parseGoTime(formatGoTime(time)), time);
          assert.equal(msFromNanoseconds(time), date.getTime());
          assert.equal(civil(time).year, date.getUTCFullYear());
          assert.equal(daysFromCivil(civil(time)), Math.floor(date.getTime() / 86_400_000));
        },
      ),
    );
  });

  test('refuses what is no time', () => {
    for (const text of [
      '',
      '2026',
      '2026-02-30T00:00:00Z',
      '2026-13-01T00:00:00Z',
      '2026-01-01T24:00:00Z',
      '2026-01-01T00:00:00',
      '2026-1-1T00:00:00Z',
      '2026-01-01 00:00:00Z',
      ' 2026-01-01T00:00:00Z',
      '2025-02-29T00:00:00Z',
      `2026-01-01T00:00:00.${'1'.repeat(1000)}Z`,
    ]) {
      assert.equal(parseGoTime(text), undefined, text);
    }
  });

  test('tells a time in UTC as ISO 8601 writes it from what else Go takes', () => {
    for (const text of ['2026-01-01T00:00:00Z', '2026-01-01T00:00:00.123Z', '2024-02-29T23:59:59.1234567890Z']) {
      assert(isUtcTime(text), text);
    }
    for (const text of [
      '',
      'Z',
      '2026-01-01T00:00Z',
      '2026-01-01T00:00:00z',
      '2026-01-01t00:00:00Z',
      '2026-01-01T00:00:00,5Z',
      '2026-01-01T00:00:00.Z',
      '2026-01-01T00:00:00+00:00',
      '2026-02-30T00:00:00Z',
      '2026-01-01T00:00:00Z\n',
    ]) {
      assert(!isUtcTime(text), text);
    }
  });

  test('knows how far the zone of the process is from UTC, in summer and in winter', (context) => {
    const zone = process.env['TZ'];
    context.after(() => {
      if (zone === undefined) delete process.env['TZ'];
      else process.env['TZ'] = zone;
    });
    process.env['TZ'] = 'America/St_Johns';
    assert.equal(localOffsetSeconds(parseGoTime('2026-01-15T00:00:00Z')!), -3.5 * 3600);
    assert.equal(localOffsetSeconds(parseGoTime('2026-07-15T00:00:00Z')!), -2.5 * 3600);
    // Further away than Date reaches.
    assert.equal(localOffsetSeconds(10n ** 25n), 0);
  });
});
