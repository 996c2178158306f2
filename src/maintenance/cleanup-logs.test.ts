import assert from 'node:assert/strict';
import { test } from 'node:test';

import { blobId, type BlobMetadata } from '../blobs/blob-store.ts';
import { expiredLogs } from './cleanup-logs.ts';

const now = 1_000_000;
const none = { sizeBytesMax: 0, countMax: 0, ageMsMax: 0 };
/** One of 10 bytes for each age, in no order. */
const logs = [30, 10, 40, 20].map((age): BlobMetadata => {
  return { id: blobId(`_log_${age}`), lengthBytes: 10, timestampMs: now - age };
});

function removed(retention: Partial<typeof none>): string[] {
  return expiredLogs(logs, { ...none, ...retention }, { nowMs: now }).remove.map(({ id }) => id);
}

test('cleanup of logs > without limits all stay', () => {
  assert.deepEqual(removed({}), []);
});

test('cleanup of logs > the oldest go where a limit is passed, and not where it is met', () => {
  assert.deepEqual(removed({ countMax: 4 }), []);
  assert.deepEqual(removed({ countMax: 3 }), ['_log_40']);
  assert.deepEqual(removed({ sizeBytesMax: 30 }), ['_log_40']);
  assert.deepEqual(removed({ sizeBytesMax: 29 }), ['_log_30', '_log_40']);
  assert.deepEqual(removed({ ageMsMax: 30 }), ['_log_40']);
  assert.deepEqual(removed({ ageMsMax: 29 }), ['_log_30', '_log_40']);
});

test('cleanup of logs > the first limit that is passed decides', () => {
  assert.deepEqual(removed({ countMax: 2, ageMsMax: 35 }), ['_log_30', '_log_40']);
});
