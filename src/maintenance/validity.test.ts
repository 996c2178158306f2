import assert from 'node:assert/strict';
import { test } from 'node:test';

import { requireValid, validFor } from './validity.ts';

test('validity > ends by either clock: one stands still while the machine sleeps, the other may be set', () => {
  const at = (monotonicMs: number, nowMs: number): Parameters<typeof requireValid>[1] => ({
    monotonicMs: () => monotonicMs,
    nowMs: () => nowMs,
    sleep: () => Promise.reject(new Error('nobody waits')),
  });
  const validity = validFor(100, at(1000, 5000));
  requireValid(validity, at(1100, 5100));
  requireValid(validity, at(1000, 4000));
  assert.throws(() => requireValid(validity, at(1101, 5000)), { code: 'index-conflict' });
  assert.throws(() => requireValid(validity, at(1000, 5101)), { code: 'index-conflict' });
});
