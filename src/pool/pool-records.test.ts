import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { hasCode } from '../std/dray-error.ts';
import { encodeRecord, readRecord, snapshotRecordSchema, volumeRecordSchema } from './pool-records.ts';
import type { SnapshotRecord, VolumeRecord } from './pool-records.ts';

const id = '0123456789abcdef'.repeat(2);
const created = '2026-01-02T03:04:05.678Z';
const volume: VolumeRecord = { version: 1, id, created, sectorBytes: 512 };
const snapshot: SnapshotRecord = {
  version: 1,
  id,
  volumeId: id,
  created,
  sectorBytes: 4096,
  imageChanged: '2031-04-02T17:15:00.123456789Z',
  parent: id,
  consistency: 'crash',
  reason: 'nothing held it still',
  madeBy: 'backup',
  group: { id, volumes: ['a', 'b'] },
  needs: [{ kind: 'backup', repository: 'abcd', url: '/backups', since: created }],
};

describe('pool records', () => {
  const folder = mkdtempSync(join(tmpdir(), 'dray-records-'));
  const path = join(folder, 'record.json');
  test.after(() => rmSync(folder, { recursive: true }));

  const readVolume = (members: object): VolumeRecord | undefined => {
    writeFileSync(path, JSON.stringify({ ...volume, ...members }));
    return readRecord(path, volumeRecordSchema);
  };

  test('come back as they were written, with fields that are not known, at every depth', () => {
    assert.equal(readRecord(join(folder, 'missing.json'), volumeRecordSchema), undefined);
    writeFileSync(path, encodeRecord(snapshot));
    assert.deepEqual(readRecord(path, snapshotRecordSchema), snapshot);
    const [need] = snapshot.needs;
    const later = {
      ...snapshot,
      color: 'red',
      group: { ...snapshot.group, more: [1] },
      needs: [{ ...need, toString: 'x' }],
    };
    writeFileSync(path, JSON.stringify(later));
    assert.deepEqual(readRecord(path, snapshotRecordSchema), later);
  });

  test('times are in UTC, with seconds, of a day that exists', () => {
    for (const time of [created, '2026-01-02T03:04:05Z', '2024-02-29T23:59:59.123456789Z']) {
      assert.equal(readVolume({ created: time })?.created, time);
    }
    for (const time of [
      '2026-01-02',
      '2026-01-02T03:04Z',
      '2026-01-02T03:04:05',
      '2026-01-02T03:04:05+00:00',
      '2026-01-02 03:04:05Z',
      '2026-01-02t03:04:05z',
      '2026-01-02T03:04:05,6Z',
      '2026-02-29T03:04:05Z',
      '2026-01-02T24:00:00Z',
      1_767_323_045_000,
    ]) {
      assert.throws(
        () => readVolume({ created: time }),
        (error) => hasCode(error, 'pool-damaged') && /created: expected/.test(error.message),
        String(time),
      );
    }
  });

  test('are refused by the name of what is wrong', () => {
    const cases: [object, string, RegExp][] = [
      [{ id: id.toUpperCase() }, 'pool-damaged', /: id: expected/],
      [{ sectorBytes: 1024 }, 'pool-damaged', /: sectorBytes: expected \(512 \| 4096\), got 1024/],
      [{ clonedFrom: { volume: '' } }, 'pool-damaged', /: clonedFrom\.volume: /],
      [{ restoredFrom: 'x'.repeat(129) }, 'pool-damaged', /: restoredFrom: /],
      [{ version: 2 }, 'pool-version', /version 2/],
    ];
    for (const [members, code, message] of cases) {
      assert.throws(
        () => readVolume(members),
        (error) => hasCode(error, code) && message.test(error.message),
        JSON.stringify(members),
      );
    }
  });

  test('no field of a record becomes its prototype', () => {
    writeFileSync(path, `${JSON.stringify(volume).slice(0, -1)},"__proto__":{"parent":"${id}"}}`);
    const record = readRecord(path, volumeRecordSchema)!;
    assert.equal(Object.getPrototypeOf(record), Object.prototype);
    assert.equal(record.parent, undefined);
  });
});
