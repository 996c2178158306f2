import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatSize } from './format-size.ts';

test('format of sizes > a printed size, read again, is within half a percent of the number', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 52 }), (bytes) => {
      const text = formatSize(bytes);
      const [, value, prefix] = /^([\d.]+) (\w+)$/.exec(text) ?? [];
      const read = Number(value) * 1024 ** ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'].indexOf(prefix ?? '');
      assert(Math.abs(read - bytes) <= bytes * 0.006, `${bytes} printed as ${text}`);
    }),
  );
  assert.deepEqual([0, 1023, 1024, 1536, 1023.9 * 1024, 128 * 1024 ** 3].map(formatSize), [
    '0 B',
    '1023 B',
    '1 KiB',
    '1.5 KiB',
    '1 MiB',
    '128 GiB',
  ]);
});
