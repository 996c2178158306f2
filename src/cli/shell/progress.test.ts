import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '../../std/clock.ts';
import { createProgress, type Progress } from './progress.ts';

const mib = 1024 * 1024;

/** A screen, a clock that only the test moves, and work of 1000 MiB. */
function stage(options: { readonly terminal: boolean; readonly quiet?: boolean; readonly columns?: number }) {
  const written: string[] = [];
  let nowMs = 50_000;
  const clock: Clock = {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    sleep: async () => await Promise.reject(new Error('no')),
  };
  const sink = { write: (text: string) => written.push(text), isTTY: options.terminal, columns: options.columns };
  const progress: Progress = createProgress(sink, { clock, quiet: options.quiet ?? false });
  const at = (ms: number, doneMib: number, phase = 'reading'): void => {
    nowMs = 50_000 + ms;
    progress.update({ phase, doneBytes: doneMib * mib, totalBytes: 1000 * mib, changedBytes: mib, storedBytes: 0 });
  };
  return { written, progress, at };
}

test('progress > work that ends within a second shows nothing', () => {
  const { written, progress, at } = stage({ terminal: true });
  for (let ms = 0; ms < 1000; ms += 10) at(ms, ms / 10);
  progress.end();
  assert.deepEqual(written, []);
});

test('progress > a terminal gets one line with rate and ETA, rewritten at most five times a second, and taken away', () => {
  const { written, progress, at } = stage({ terminal: true });
  for (let ms = 0; ms <= 2000; ms += 10) at(ms, ms / 10);
  assert.equal(written.length, 6, 'at 1.0, 1.2, 1.4, 1.6, 1.8 and 2.0 s');
  assert.equal(written[0], '\r\u001b[Kreading: 100 MiB of 1000 MiB (10 %), 100 MiB/s, ETA 9.0 s, changed 1 MiB, store');
  progress.end();
  progress.end();
  assert.deepEqual(written.slice(6), ['\r\u001b[K']);
});

test('progress > a wide terminal shows the whole line', () => {
  const { written, at } = stage({ terminal: true, columns: 200 });
  at(0, 0);
  at(1000, 100);
  assert.deepEqual(written, [
    '\r\u001b[Kreading: 100 MiB of 1000 MiB (10 %), 100 MiB/s, ETA 9.0 s, changed 1 MiB, stored 0 B',
  ]);
});

test('progress > anything else gets a plain line every ten seconds', () => {
  const { written, progress, at } = stage({ terminal: false });
  for (let ms = 0; ms <= 25_000; ms += 100) at(ms, ms / 100);
  progress.end();
  assert.equal(written.length, 2);
  assert.equal(
    written[1],
    'reading: 200 MiB of 1000 MiB (20 %), 10 MiB/s, ETA 1 min 20 s, changed 1 MiB, stored 0 B\n',
  );
});

test('progress > a new phase starts the rate anew', () => {
  const { written, at } = stage({ terminal: true, columns: 200 });
  at(0, 0);
  at(2000, 900);
  at(2300, 0, 'verifying');
  at(3300, 10, 'verifying');
  assert.match(written.at(-1) ?? '', /verifying: 10 MiB of 1000 MiB \(1 %\), 10 MiB\/s/);
});

test('progress > a note stands on a line of its own, above', () => {
  const { written, progress, at } = stage({ terminal: true });
  at(0, 0);
  at(1000, 100);
  progress.note('everything is read: no parent');
  assert.deepEqual(written.slice(1), ['\r\u001b[K', 'everything is read: no parent\n']);
});

test('progress > --quiet shows nothing at all', () => {
  const { written, progress, at } = stage({ terminal: true, quiet: true });
  for (let ms = 0; ms <= 30_000; ms += 100) at(ms, 1);
  progress.note('no');
  progress.end();
  assert.deepEqual(written, []);
});
