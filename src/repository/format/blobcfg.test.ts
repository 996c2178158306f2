import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';

import { decodeBlobcfg, encodeBlobcfg, lockingStore } from './blobcfg.ts';
import { MemoryStore } from '../../blobs/memory-store.ts';
import { systemClock as clock } from '../../std/clock.ts';

const dayMs = 24 * 60 * 60 * 1000;
const decode = (json: string) => decodeBlobcfg(Buffer.from(json));

test('settings of retention > come back as they were, also beyond the 105 days that a double counts in nanoseconds', () => {
  const modes = fc.constantFrom('GOVERNANCE', 'COMPLIANCE');
  fc.assert(
    fc.property(modes, fc.integer({ min: dayMs, max: 100 * 365 * dayMs }), (mode, periodMs) => {
      assert.deepEqual(decodeBlobcfg(encodeBlobcfg({ mode, periodMs })), { mode, periodMs });
    }),
  );
  assert.equal(decodeBlobcfg(encodeBlobcfg(undefined)), undefined);
});

test("settings of retention > are written to the byte as Kopia's", () => {
  const year = encodeBlobcfg({ mode: 'COMPLIANCE', periodMs: 365 * dayMs });
  assert.equal(Buffer.from(year).toString(), '{"retentionMode":"COMPLIANCE","retentionPeriod":31536000000000000}');
  assert.equal(Buffer.from(encodeBlobcfg(undefined)).toString(), '{}');
  for (const retention of [
    { mode: '', periodMs: dayMs },
    { mode: 'GOVERNANCE', periodMs: dayMs - 1 },
    { mode: 'GOVERNANCE', periodMs: Number.NaN },
  ]) {
    assert.throws(() => encodeBlobcfg(retention), { code: 'unsupported' });
  }
});

test('settings of retention > that are damaged are refused', () => {
  for (const json of ['', '[]', '{"retentionPeriod":-1}', '{"retentionPeriod":1e30}', '{"retentionMode":7}']) {
    assert.throws(() => decode(json), { code: 'corrupt' }, json);
  }
  assert.throws(() => decode(`{"retentionMode":"GOVERNANCE","retentionPeriod":${2n ** 63n}}`), { code: 'corrupt' });
  assert.equal(decode('{"retentionMode":"GOVERNANCE"}'), undefined);
});

test('a repository without retention > is written to as it is', () => {
  const store = new MemoryStore({ clock });
  assert.equal(lockingStore(store, undefined), store);
});
